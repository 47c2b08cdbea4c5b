// The official TypeScript SDK against the server that the environment names: over frames on HTTP/2 and over fetch with
// server-sent events. Run by .ci/s2.
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import zlib from "node:zlib";
import { after, before, test } from "node:test";
import {
	AppendInput,
	AppendRecord,
	FencingTokenMismatchError,
	Producer,
	BatchTransform,
	RangeNotSatisfiableError,
	S2,
	S2Error,
	SeqNumMismatchError,
} from "@s2-dev/streamstore";

const url = process.env.HEADRACE_S2_URL;
const token = process.env.HEADRACE_S2_TOKEN;
assert.ok(url && token, "HEADRACE_S2_URL and HEADRACE_S2_TOKEN must name a server");

const connect = (accessToken, options) =>
	new S2({ accessToken, endpoints: { account: url, basin: url }, ...options });
const s2 = connect(token);
const basinName = `ts-${randomUUID().slice(0, 12)}`;
const bytes = (...b) => Uint8Array.from(b);
const odd = bytes(0, 255, 254, 128, 10, 13, 34, 92, 0xc3, 0x28);

// status checks an error by what the SDK makes of it.
const status = (want, code) => (err) => {
	assert.ok(err instanceof S2Error, `${err}`);
	assert.equal(err.status, want, `${err.code}: ${err.message}`);
	if (code) assert.equal(err.code, code);
	return true;
};

before(async () => {
	await s2.basins.create({ basin: basinName });
});
after(async () => {
	await s2.basins.delete({ basin: basinName });
});

async function fresh(config, options) {
	const basin = s2.basin(basinName);
	const stream = `s/${randomUUID()} ü`;
	await basin.streams.create({ stream, config });
	return basin.stream(stream, options);
}

async function take(session, n) {
	const out = [];
	for await (const r of session) {
		out.push(r);
		if (out.length === n) break;
	}
	return out;
}

for (const transport of ["s2s", "fetch"]) {
	const options = { forceTransport: transport };
	const on = (name, f) => test(`${transport}: ${name}`, { timeout: 180_000 }, f);

	on("append and read bytes exactly", async () => {
		const stream = await fresh(undefined, options);
		const ack = await stream.append(
			AppendInput.create([
				AppendRecord.bytes({ body: odd, headers: [[bytes(255, 1), odd], [bytes(255, 1), bytes()]] }),
				AppendRecord.bytes({ body: bytes() }),
			]),
		);
		assert.equal(ack.start.seqNum, 0);
		assert.equal(ack.end.seqNum, 2);
		assert.ok(ack.end.timestamp.getTime() > 0);
		const unary = await stream.read({ start: { from: { seqNum: 0 } } }, { as: "bytes" });
		const session = await stream.readSession(
			{ start: { from: { seqNum: 0 } }, stop: { limits: { count: 2 } } },
			{ as: "bytes" },
		);
		for (const records of [unary.records, await take(session)]) {
			assert.equal(records.length, 2);
			assert.deepEqual([...records[0].body], [...odd]);
			assert.deepEqual(
				records[0].headers.map(([n, v]) => [[...n], [...v]]),
				[[[255, 1], [...odd]], [[255, 1], []]],
			);
			assert.equal(records[1].body?.length ?? 0, 0);
		}
	});

	on("append session acks in order and a follower tails it", async () => {
		const stream = await fresh(undefined, options);
		const reader = await stream.readSession({ start: { from: { seqNum: 0 } } });
		const got = take(reader, 200);
		const session = await stream.appendSession();
		const tickets = [];
		for (let i = 0; i < 100; i++) {
			tickets.push(
				await session.submit(
					AppendInput.create([
						AppendRecord.string({ body: `a${i}` }),
						AppendRecord.string({ body: `b${i}`, headers: [["n", `${i}`]] }),
					]),
				),
			);
		}
		for (const [i, t] of tickets.entries()) assert.equal((await t.ack()).start.seqNum, 2 * i);
		await session.close();
		const records = await got;
		records.forEach((r, i) => {
			assert.equal(r.seqNum, i);
			assert.equal(r.body, `${i % 2 ? "b" : "a"}${i >> 1}`);
		});
		assert.deepEqual(records[3].headers, [["n", "1"]]);
		assert.equal((await stream.checkTail()).tail.seqNum, 200);
	});

	on("a follower hears that it is caught up", async () => {
		const stream = await fresh(undefined, options);
		await stream.append(AppendInput.create([AppendRecord.string({ body: "x" })]));
		const reader = await stream.readSession({ start: { from: { seqNum: 0 } } });
		const tail = reader.caughtUp();
		const it = reader[Symbol.asyncIterator]();
		assert.equal((await it.next()).value.body, "x");
		const next = it.next(); // being caught up is found out while waiting for more
		assert.equal((await tail).seqNum, 1);
		await stream.append(AppendInput.create([AppendRecord.string({ body: "y" })]));
		assert.equal((await next).value.body, "y");
		await it.return();
	});

	on("wait ends a read of an idle stream", async () => {
		const stream = await fresh(undefined, options);
		const reader = await stream.readSession({ start: { from: { seqNum: 0 } }, stop: { waitSecs: 1 } });
		assert.equal((await take(reader)).length, 0);
	});

	on("limits, until and timestamps", async () => {
		const stream = await fresh({ timestamping: { mode: "client-prefer", uncapped: true } }, options);
		await stream.append(
			AppendInput.create([1, 2, 3, 4].map((i) => AppendRecord.string({ body: `${i}`, timestamp: 1000 * i }))),
		);
		const read = async (input) => (await take(await stream.readSession(input))).map((r) => r.body);
		assert.deepEqual(await read({ start: { from: { timestamp: 1500 } }, stop: { untilTimestamp: 4000 } }), ["2", "3"]);
		assert.deepEqual(await read({ start: { from: { seqNum: 1 } }, stop: { limits: { count: 2 } } }), ["2", "3"]);
		assert.deepEqual(await read({ start: { from: { seqNum: 0 } }, stop: { limits: { bytes: 27 } } }), ["1", "2", "3"]);
		assert.deepEqual(await read({ start: { from: { tailOffset: 1 } }, stop: { limits: { count: 9 } } }), ["4"]);
	});

	on("fencing", async () => {
		const stream = await fresh(undefined, options);
		await stream.append(AppendInput.create([AppendRecord.fence("one")]));
		await stream.append(AppendInput.create([AppendRecord.string({ body: "x" })], { fencingToken: "one" }));
		await assert.rejects(
			stream.append(AppendInput.create([AppendRecord.string({ body: "x" })], { fencingToken: "two" })),
			(err) => err instanceof FencingTokenMismatchError && err.expectedFencingToken === "one",
		);
		const session = await stream.appendSession();
		const ticket = await session.submit(
			AppendInput.create([AppendRecord.string({ body: "x" })], { fencingToken: "two" }),
		);
		await assert.rejects(ticket.ack(), (err) => err instanceof FencingTokenMismatchError);
		await assert.rejects(session.close());
	});

	on("match_seq_num", async () => {
		const stream = await fresh(undefined, options);
		const one = (matchSeqNum) => AppendInput.create([AppendRecord.string({ body: "x" })], { matchSeqNum });
		await stream.append(one(0));
		await assert.rejects(
			stream.append(one(0)),
			(err) => err instanceof SeqNumMismatchError && err.expectedSeqNum === 1,
		);
	});

	on("trim", async () => {
		const stream = await fresh(undefined, options);
		await stream.append(AppendInput.create([1, 2, 3].map((i) => AppendRecord.string({ body: `${i}` }))));
		const reader = await stream.readSession({ start: { from: { seqNum: 0 } } });
		const seen = take(reader, 4);
		await stream.append(AppendInput.create([AppendRecord.trim(2)]));
		assert.deepEqual((await seen).map((r) => r.seqNum), [0, 1, 2, 3]);
		for (;;) {
			const { records } = await stream.read({ start: { from: { seqNum: 0 } } }, { as: "bytes" });
			if (records[0].seqNum === 0) continue;
			assert.deepEqual(records.map((r) => r.seqNum), [2, 3]);
			break;
		}
	});

	on("out of range, and clamped", async () => {
		const stream = await fresh(undefined, options);
		await stream.append(AppendInput.create([AppendRecord.string({ body: "x" })]));
		await assert.rejects(
			stream.read({ start: { from: { seqNum: 9 } } }),
			(err) => err instanceof RangeNotSatisfiableError && err.tail.seqNum === 1,
		);
		await assert.rejects(
			async () => take(await stream.readSession({ start: { from: { seqNum: 9 } } })),
			(err) => err instanceof RangeNotSatisfiableError,
		);
		const { records } = await stream.read({ start: { from: { seqNum: 9 }, clamp: true }, stop: { waitSecs: 1 } });
		assert.equal(records.length, 0);
	});

	on("deleting ends a follower", async () => {
		const stream = await fresh(undefined, options);
		const reader = await stream.readSession({ start: { from: { seqNum: 0 } } });
		const got = take(reader);
		got.catch(() => {});
		await reader.caughtUp();
		await s2.basin(basinName).streams.delete({ stream: stream.name });
		await assert.rejects(got, (err) => err instanceof S2Error);
		await assert.rejects(stream.checkTail(), status(409, "stream_deletion_pending"));
	});

	on("producer", async () => {
		const stream = await fresh(undefined, options);
		const producer = new Producer(new BatchTransform({ lingerDurationMillis: 1 }), await stream.appendSession());
		const tickets = [];
		for (let i = 0; i < 5000; i++) tickets.push(await producer.submit(AppendRecord.string({ body: `${i}` })));
		const acks = await Promise.all(tickets.map((t) => t.ack()));
		acks.forEach((a, i) => assert.equal(a.seqNum(), i));
		await producer.close();
		const reader = await stream.readSession({ start: { from: { seqNum: 0 } }, stop: { limits: { count: 5000 } } });
		(await take(reader)).forEach((r, i) => assert.equal(r.body, `${i}`));
	});
}

for (const compression of ["none", "gzip", "zstd"]) {
	test(`compression ${compression}`, { timeout: 180_000 }, async (t) => {
		if (compression === "zstd" && !zlib.zstdCompressSync) {
			t.skip("the zlib of this Node has no zstd (it has from 22.15 on)");
			return;
		}
		const client = connect(token, { compression });
		const { name } = await fresh();
		const stream = client.basin(basinName).stream(name);
		const body = new Uint8Array(100_000).map((_, i) => i % 7);
		const session = await stream.appendSession();
		const ticket = await session.submit(AppendInput.create([AppendRecord.bytes({ body })]));
		await ticket.ack();
		await session.close();
		await stream.append(AppendInput.create([AppendRecord.bytes({ body })]));
		const reader = await stream.readSession(
			{ start: { from: { seqNum: 0 } }, stop: { limits: { count: 2 } } },
			{ as: "bytes" },
		);
		for (const r of await take(reader)) assert.ok(Buffer.from(body).equals(r.body));
		await client.basin(basinName).stream(name).close();
	});
}

test("management", { timeout: 180_000 }, async () => {
	const basin = s2.basin(basinName);
	const prefix = `page-${randomUUID().slice(0, 8)}/`;
	for (let i = 0; i < 5; i++) await basin.streams.create({ stream: `${prefix}${i}` });
	const first = await basin.streams.list({ prefix, limit: 2 });
	assert.deepEqual([first.streams.map((s) => s.name), first.hasMore], [[`${prefix}0`, `${prefix}1`], true]);
	const all = [];
	for await (const s of basin.streams.listAll({ prefix, limit: 2 })) all.push(s.name);
	assert.deepEqual(all, [0, 1, 2, 3, 4].map((i) => `${prefix}${i}`));

	const stream = `${prefix}0`;
	const ensured = await basin.streams.ensure({ stream, config: { storageClass: "standard" } });
	assert.equal(ensured.result, "updated");
	assert.equal((await basin.streams.ensure({ stream, config: { storageClass: "standard" } })).result, "noop");
	assert.equal((await basin.streams.getConfig({ stream })).storageClass, "standard");
	await basin.streams.reconfigure({ stream, storageClass: null, timestamping: { mode: "arrival" } });
	const config = await basin.streams.getConfig({ stream });
	assert.equal(config.storageClass, "express");
	assert.equal(config.timestamping.mode, "arrival");
	assert.deepEqual(config.retentionPolicy, { ageSecs: 604800 });

	await assert.rejects(basin.streams.create({ stream }), status(409, "resource_already_exists"));
	await assert.rejects(basin.streams.getConfig({ stream: "none" }), status(404, "stream_not_found"));
	await assert.rejects(s2.basins.getConfig({ basin: "no-such-basin" }), status(404, "basin_not_found"));
	await assert.rejects(
		basin.streams.create({ stream: "x", config: { retentionPolicy: { ageSecs: 0 } } }),
		status(422, "invalid"),
	);
	await basin.streams.delete({ stream });
	await basin.streams.delete({ stream });
	const listed = (await basin.streams.list({ prefix })).streams.find((s) => s.name === stream);
	assert.ok(listed.deletedAt instanceof Date);

	const names = [];
	for await (const b of s2.basins.listAll({ prefix: "ts-" })) names.push(b.name);
	assert.ok(names.includes(basinName));
	assert.ok((await s2.locations.list()).length > 0);
	assert.equal((await s2.locations.getDefault()).name, "aws:us-east-1");
});

test("auto-create", { timeout: 180_000 }, async () => {
	const name = `ts-${randomUUID().slice(0, 12)}`;
	await s2.basins.create({ basin: name, config: { createStreamOnAppend: true, createStreamOnRead: true } });
	const basin = s2.basin(name);
	await basin.stream("made").append(
		AppendInput.create([AppendRecord.string({ body: "x" })], { streamConfig: { storageClass: "standard" } }),
	);
	assert.equal((await basin.streams.getConfig({ stream: "made" })).storageClass, "standard");
	assert.equal((await basin.stream("read").checkTail()).tail.seqNum, 0);
	await s2.basins.reconfigure({ basin: name, createStreamOnRead: false });
	await assert.rejects(basin.stream("other").checkTail(), status(404, "stream_not_found"));
	await s2.basins.delete({ basin: name });
	await assert.rejects(s2.basins.create({ basin: name }), status(409));
});

test("access tokens", { timeout: 180_000 }, async () => {
	const id = `t-${randomUUID()}`;
	const { accessToken } = await s2.accessTokens.issue({
		id,
		scope: {
			basins: { exact: basinName },
			streams: { prefix: "mine/" },
			ops: ["append", "create-stream", "list-streams"],
		},
		autoPrefixStreams: true,
	});
	await assert.rejects(
		s2.accessTokens.issue({ id, scope: {} }),
		status(409, "resource_already_exists"),
	);
	const limited = connect(accessToken).basin(basinName);
	await limited.streams.create({ stream: "x" });
	assert.deepEqual((await limited.streams.list()).streams.map((s) => s.name), ["x"]);
	await limited.stream("x").append(AppendInput.create([AppendRecord.string({ body: "x" })]));
	assert.equal((await s2.basin(basinName).stream("mine/x").checkTail()).tail.seqNum, 1);
	await assert.rejects(limited.stream("x").read({ start: { from: { seqNum: 0 } } }), status(403, "permission_denied"));
	await assert.rejects(
		limited.stream("x").append(AppendInput.create([AppendRecord.trim(1)])),
		status(403, "permission_denied"),
	);
	const ids = [];
	for await (const t of s2.accessTokens.listAll({ prefix: id })) ids.push(t.id);
	assert.deepEqual(ids, [id]);
	await s2.accessTokens.revoke({ id });
	await assert.rejects(s2.accessTokens.revoke({ id }), status(404, "access_token_not_found"));
	await assert.rejects(limited.streams.list(), status(401, "authn"));
});

test("metrics", { timeout: 180_000 }, async () => {
	const now = Date.now();
	const span = { start: new Date(now - 3600_000), end: new Date(now) };
	const account = await s2.metrics.account({ set: "active-basins", ...span });
	assert.ok(account.values[0].label.values.includes(basinName));
	const basin = await s2.metrics.basin({ basin: basinName, set: "append-ops", interval: "minute", ...span });
	assert.equal(basin.values.length, 2);
	await assert.rejects(
		s2.metrics.basin({ basin: basinName, set: "storage", interval: "minute", ...span }),
		status(422, "invalid"),
	);
});
