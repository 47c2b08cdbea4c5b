// A server of Zerobus Ingest with @grpc/grpc-js, the gRPC implementation of Node: another HTTP/2, another gRPC and another
// protobuf than the client's. It stores rows in memory, and does what the tests tell it over a control port.
//
//	node server.mjs PROTO CERTIFICATE KEY
//
// It prints its ports as JSON when it is ready. It ends with its standard input.

import { readFileSync } from 'node:fs'
import { createServer as createControl } from 'node:http'
import { createServer } from 'node:net'

import grpc from '@grpc/grpc-js'
import protoLoader from '@grpc/proto-loader'

const [proto, certificate, key] = process.argv.slice(2)
const schema = grpc.loadPackageDefinition(protoLoader.loadSync(proto, { keepCase: true, longs: Number, oneofs: true }))
const { service } = schema.databricks.zerobus.Zerobus

const tables = new Map() // by name

function tableOf(name) {
	if (!tables.has(name)) {
		tables.set(name, { plans: [], streams: [], rows: [] })
	}
	return tables.get(name)
}

// Each stream takes the next plan of its table. Without a plan, a stream acknowledges everything until the client half-closes it.
//
//	early  send the headers of the response at once; otherwise grpc-js sends them together with the first message
//	delay  wait so many ms before anything is sent
//	after  how many requests to read before the event; 0: the event comes instead of the response to the create request;
//	       -1: the event comes before anything is read
//	silent acknowledge nothing before the event
//	event  what happens then: see events
//	code, message, details of the event "status"; the details are bytes in base64
//	pause  of the event "signal", in seconds
class Stream {
	constructor(call) {
		this.call = call
		this.metadata = call.metadata.getMap()
		this.table = tableOf(this.metadata['x-databricks-zerobus-table-name'])
		this.plan = this.table.plans.shift() ?? {}
		this.requests = 0
		this.acked = 0
		this.over = false // nothing more is read or sent
		this.table.streams.push(this)
		if (this.plan.after < 0) {
			events[this.plan.event](this)
			return
		}
		if (this.plan.early) {
			this.later(() => call.sendMetadata(new grpc.Metadata()))
		}
		call.on('data', (request) => this.over || this.receive(request))
		call.on('end', () => this.halfClosed())
		call.on('cancelled', () => { this.over = true })
		call.on('error', () => { this.over = true })
	}

	// later calls f after the delay of the plan. Several calls keep their order.
	later(f) {
		setTimeout(() => this.over || f(), this.plan.delay ?? 0)
	}

	receive(request) {
		if (request.payload === 'create_stream') {
			this.create = request.create_stream
			this.later(() => this.plan.event && !this.plan.after ? events[this.plan.event](this) : this.open())
			return
		}
		const { offset_id, ...rest } = request[request.payload]
		if (offset_id !== this.requests) {
			this.fail(grpc.status.OUT_OF_RANGE, `offset ${offset_id} where ${this.requests} is next`)
			return
		}
		this.requests++
		const due = this.plan.event && this.requests === this.plan.after
		// A status refuses the request: a refused row is not stored.
		if (!due || this.plan.event !== 'status') {
			this.table.rows.push(...rowsOf(rest))
		}
		if (due) {
			events[this.plan.event](this)
		} else if (!this.plan.silent || this.requests > this.plan.after) {
			setImmediate(() => this.acknowledge()) // one ack for all requests that have come together
		}
	}

	open() {
		this.call.write({ create_stream_response: { stream_id: `node-${this.table.streams.length}` } })
	}

	acknowledge() {
		if (!this.over && this.acked < this.requests) {
			this.acked = this.requests
			this.call.write({ ingest_record_response: { durability_ack_up_to_offset: this.acked - 1 } })
		}
	}

	halfClosed() {
		if (!this.over) {
			this.acknowledge()
			this.end()
		}
	}

	end() {
		this.over = true
		this.call.end()
	}

	fail(code, details, metadata) {
		this.over = true
		this.call.emit('error', { code, details, metadata })
	}

	socket() {
		return sockets.get(this.call.getPeer())
	}
}

function rowsOf({ json_record, proto_encoded_record, json_batch, proto_encoded_batch }) {
	const one = json_record ?? proto_encoded_record
	const all = one !== undefined ? [one] : ((json_batch ?? proto_encoded_batch).records ?? [])
	return all.map((row) => Buffer.from(row))
}

const events = {
	signal(s) {
		s.call.write({ close_stream_signal: { duration: { seconds: s.plan.pause ?? 0 } } })
		s.acknowledge()
	},
	status(s) {
		const metadata = new grpc.Metadata()
		if (s.plan.details) {
			metadata.set('grpc-status-details-bin', Buffer.from(s.plan.details, 'base64'))
		}
		s.fail(s.plan.code, s.plan.message, metadata)
	},
	end: (s) => s.end(),
	close: (s) => s.socket().destroy(), // FIN
	reset: (s) => s.socket().resetAndDestroy(), // RST
	// Every connection gets a GOAWAY, the streams go on, and new connections come to a new server.
	shutdown(s) {
		const old = server
		serve()
		old.tryShutdown(() => {})
		s.acknowledge()
	},
	// As when a service is replaced server by server.
	replace(s) {
		events.shutdown(s)
		events.signal(s)
	},
	// As a server that is told to end at once: GOAWAY with an error code, and the connection is destroyed.
	kill(s) {
		const old = server
		serve()
		old.forceShutdown()
		s.over = true
	},
}

const plain = grpc.ServerCredentials.createInsecure()
const secure = grpc.ServerCredentials.createSsl(null, [{ cert_chain: readFileSync(certificate), private_key: readFileSync(key) }])
const sockets = new Map() // by the address of the client, as getPeer returns it
const injectors = {} // hand connections to a server
let server // may be shut down: then another takes its place

function newServer(options) {
	const s = new grpc.Server({ 'grpc.max_receive_message_length': 16 << 20, ...options })
	s.addService(service, { EphemeralStream: (call) => new Stream(call) })
	return s
}

function serve() {
	server = newServer()
	injectors.plain = server.createConnectionInjector(plain)
	injectors.tls = server.createConnectionInjector(secure)
}

// listen returns the port. The sockets are ours and not grpc-js's, so that an event can cut one.
async function listen(kind) {
	const listener = createServer((socket) => {
		const peer = `${socket.remoteAddress}:${socket.remotePort}`
		sockets.set(peer, socket)
		socket.on('close', () => sockets.delete(peer))
		socket.on('error', () => {})
		injectors[kind].injectConnection(socket)
	})
	await new Promise((done) => listener.listen(0, '127.0.0.1', done))
	return listener.address().port
}

// The control port: PUT /TABLE sets the plans, GET /TABLE describes the streams, and GET /TABLE/rows returns each row behind its
// length in 4 bytes.
const control = createControl(async (req, res) => {
	const [, name, rows] = req.url.split('/')
	const table = tableOf(name)
	if (req.method === 'PUT') {
		table.plans = JSON.parse(Buffer.concat(await req.toArray()))
		res.end()
	} else if (rows) {
		res.end(Buffer.concat(table.rows.flatMap((row) => {
			const length = Buffer.alloc(4)
			length.writeUInt32BE(row.length)
			return [length, row]
		})))
	} else {
		res.end(JSON.stringify(table.streams.map((s) => ({
			requests: s.requests,
			metadata: s.metadata,
			table: s.create?.table_name,
			kind: s.create?.record_type,
			descriptor: s.create?.descriptor_proto?.toString('base64'),
		}))))
	}
})
await new Promise((done) => control.listen(0, '127.0.0.1', done))

serve()
// This server asks every client for signs of life all the time, also between the frames of large messages. It is never shut down:
// grpc-js cuts a connection that it has told to go away, when the next such question is due.
injectors.pinged = newServer({ 'grpc.keepalive_time_ms': 50, 'grpc.keepalive_timeout_ms': 60_000 }).createConnectionInjector(secure)

process.stdin.resume().on('end', () => process.exit())
const ports = { control: control.address().port }
for (const kind of Object.keys(injectors)) {
	ports[kind] = await listen(kind)
}
console.log(JSON.stringify(ports))
