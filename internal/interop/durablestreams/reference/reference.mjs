// The official reference server on a free port, in memory or, given a folder, on LMDB. It says where it listens and ends
// with its standard input, so that it never outlives the test that started it.
import { DurableStreamTestServer } from "@durable-streams/server"

const server = new DurableStreamTestServer({
  port: 0,
  host: "127.0.0.1",
  longPollTimeout: 500,
  ...(process.argv[2] ? { dataDir: process.argv[2] } : {}),
})
console.log("ready " + (await server.start()))
process.stdin.resume()
process.stdin.on("end", async () => {
  await server.stop()
  process.exit(0)
})
