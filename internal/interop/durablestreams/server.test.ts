// The suite's own command finds no tests below node_modules, so this file calls it.
import { runConformanceTests } from "@durable-streams/server-conformance-tests"

const baseUrl = process.env.DURABLE_STREAMS_URL
if (!baseUrl) throw new Error("DURABLE_STREAMS_URL is not set")

runConformanceTests({ baseUrl, longPollTimeoutMs: 500, subscriptions: false })
