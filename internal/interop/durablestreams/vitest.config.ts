import { defineConfig } from "vitest/config"

// The default of 5 s is for a machine that does nothing else.
export default defineConfig({ test: { include: ["server.test.ts"], testTimeout: 60_000, hookTimeout: 60_000 } })
