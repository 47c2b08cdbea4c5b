// The official client as one half of an exchange with our Go client: node exchange.mjs write|read json|text|bytes|frames URL
// [live]. What is to be written, or is expected, comes on standard input as JSON: texts, or bytes in base64. A reader says
// "reading" once it has a first answer, "at" with each offset that it comes to if it is live, and at the end what it has read.
import assert from "node:assert/strict"
import { json } from "node:stream/consumers"
import { DurableStream, IdempotentProducer, stream } from "@durable-streams/client"

const [way, kind, url, mode] = process.argv.slice(2)
const live = mode === "catch-up" ? false : mode
const given = await json(process.stdin)

if (way === "write") await write()
else if (kind === "json") await readJSON()
else if (kind === "frames") await readFrames()
else await readBytes()

async function write() {
  const { contentType } = await new DurableStream({ url }).head()
  const handle = new DurableStream({ url, contentType })
  const failures = []
  const producer = new IdempotentProducer(handle, "official", { maxBatchBytes: 700, onError: (e) => failures.push(e) })
  for (const one of given) producer.append(kind === "json" || kind === "text" ? one : Buffer.from(one, "base64"))
  await producer.flush()
  assert.deepEqual(failures, [])
  await producer.close()
}

// readJSON compares as a program would see the values, and prints the bytes that they came in.
async function readJSON() {
  const values = await stream({ url, live })
  const bytes = await stream({ url, live })
  reading(values, bytes)
  const [items, raw] = await Promise.all([all(values.jsonStream()), all(bytes.bodyStream())])
  assert.deepStrictEqual(items, given.map((one) => JSON.parse(one)))
  process.stdout.write(Buffer.concat(raw))
}

// readBytes prints bytes as they come, and a text as the client makes it of them.
async function readBytes() {
  const response = await stream({ url, live })
  reading(response)
  const parts = await all(kind === "text" ? response.textStream() : response.bodyStream())
  process.stdout.write(kind === "text" ? parts.join("") : Buffer.concat(parts))
}

// readFrames takes framed records apart by what the documentation of our client says of them, and prints their values.
async function readFrames() {
  const bytes = await stream({ url, live })
  reading(bytes)
  const data = Buffer.concat(await all(bytes.bodyStream()))
  let at = 0
  const length = () => {
    let n = 0
    for (let shift = 1; ; shift *= 128) {
      const b = data[at++]
      n += (b % 128) * shift
      if (b < 128) return n
    }
  }
  const values = []
  while (at < data.length) {
    const n = length()
    const end = at + n
    assert(end <= data.length, "the last frame is cut")
    assert.equal(data[at], 0, "a frame without headers")
    const time = Number(data.readBigInt64BE(at + 1)) * 1000 + data.readUInt32BE(at + 9) / 1e6
    assert(Math.abs(Date.now() - time) < 3_600_000, "a time that is not now")
    values.push(data.subarray(at + 13, end).toString("base64"))
    at = end
  }
  process.stdout.write(JSON.stringify(values))
}

// reading says how far all of the responses have come. Who closes the stream has to wait for that: bodyStream and textStream
// fetch one answer ahead, and leave the loop when that one closes the stream, without its data.
function reading(...responses) {
  console.log("reading")
  if (!live) return
  let last = ""
  setInterval(() => {
    const { offset } = responses[0]
    if (offset !== last && responses.every((r) => r.offset === offset)) console.log("at", (last = offset))
  }, 5).unref()
}

async function all(parts) {
  const list = []
  for await (const part of parts) list.push(part)
  return list
}
