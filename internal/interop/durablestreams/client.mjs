// The official client writes to and reads from the server at DURABLE_STREAMS_URL, in every mode it has.
import assert from "node:assert/strict"
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client"

const base = process.env.DURABLE_STREAMS_URL
assert(base, "DURABLE_STREAMS_URL is not set")
const url = (name) => `${base}/v1/stream/interop-${process.pid}-${name}`
const range = (n) => Array.from({ length: n }, (_, i) => i)

// follow collects a JSON stream up to its end.
async function follow(target, live, offset) {
  const items = []
  for await (const item of (await stream({ url: target, live, offset })).jsonStream()) items.push(item)
  return items
}

const checks = {
  async "idempotent producer, catch-up, resume at an offset"() {
    const target = url("producer")
    const handle = await DurableStream.create({ url: target, contentType: "application/json" })
    const failures = []
    const producer = new IdempotentProducer(handle, "p", { maxBatchBytes: 4096, onError: (e) => failures.push(e) })
    for (const n of range(10_000)) producer.append(JSON.stringify({ n, text: `é\n${n}` }))
    await producer.flush()
    assert.deepEqual(failures, [])
    const { offset } = await handle.head()
    const all = await (await stream({ url: target, live: false })).json()
    assert.deepEqual(all.map((m) => m.n), range(10_000))
    assert.equal(all[9].text, "é\n9")
    await handle.append(JSON.stringify({ n: 10_000 }))
    const rest = await (await stream({ url: target, live: false, offset })).json()
    assert.deepEqual(rest, [{ n: 10_000 }])
    await producer.close()
  },

  async "readers by SSE and long-poll, from the start and the tail, see everything up to the end"() {
    const target = url("live")
    const handle = await DurableStream.create({ url: target, contentType: "application/json" })
    await handle.append("0")
    const readers = ["sse", "long-poll", true].map((live) => follow(target, live, "-1"))
    for (const n of range(200).slice(1)) await handle.append(String(n))
    await handle.close({ body: "200" })
    for (const reader of readers) assert.deepEqual(await reader, range(201))
    // What is closed ends at once.
    for (const live of ["sse", "long-poll"]) assert.deepEqual(await follow(target, live, "now"), [])
  },

  async "bytes pass through SSE whole"() {
    const target = url("bytes")
    const sent = Uint8Array.from(range(100_000), (i) => (i * 31) % 256)
    const handle = await DurableStream.create({ url: target, contentType: "application/octet-stream" })
    await handle.append(sent)
    await handle.close()
    for (const live of [false, "sse", "long-poll"]) {
      const parts = []
      for await (const part of (await stream({ url: target, live })).bodyStream()) parts.push(part)
      assert.deepEqual(Buffer.concat(parts), Buffer.from(sent), `live: ${live}`)
    }
  },

  async "text passes through SSE by lines"() {
    const target = url("text")
    const handle = await DurableStream.create({ url: target, contentType: "text/plain" })
    await handle.append("one\n  two\n\nthree\n")
    await handle.close()
    let text = ""
    for await (const part of (await stream({ url: target, live: "sse" })).textStream()) text += part
    assert.equal(text, "one\n  two\n\nthree\n")
  },

  async "a later epoch fences an earlier one"() {
    const handle = await DurableStream.create({ url: url("fence"), contentType: "application/json" })
    const failures = []
    const first = new IdempotentProducer(handle, "p", { epoch: 1, onError: (e) => failures.push(e) })
    first.append("1")
    await first.flush()
    const second = new IdempotentProducer(handle, "p", { autoClaim: true })
    second.append("2")
    await second.flush()
    assert.equal(second.epoch, 2)
    first.append("3")
    await first.flush().catch((e) => failures.push(e))
    assert(failures.length > 0, "the first producer was not told")
    assert.deepEqual(await (await stream({ url: url("fence"), live: false })).json(), [1, 2])
  },

  async "refusals keep their kind"() {
    await assert.rejects(stream({ url: url("absent"), live: false }), /404|not.?found/i)
    const handle = await DurableStream.create({ url: url("kind"), contentType: "text/plain" })
    await assert.rejects(DurableStream.create({ url: url("kind"), contentType: "application/json" }), /409|exists|conflict/i)
    await handle.close()
    await assert.rejects(handle.append("x"), /closed/i)
    await handle.delete()
    await assert.rejects(stream({ url: url("kind"), live: false }), /404|not.?found/i)
  },
}

for (const [name, check] of Object.entries(checks)) {
  await check()
  console.log(`ok: ${name}`)
}
