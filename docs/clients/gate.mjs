// A gate controller in JavaScript, minimal and safe: node gate.mjs VERDICTS STATION DECIDE_MS [CONTROL].
// README.md explains it. It needs the package zeromq 6.

import { Dealer, Subscriber } from "zeromq"

/** What a person got wrong is one line. */
function leave(why) {
  console.error(why)
  process.exit(2)
}

const [endpoint, station, decideMs, controlEndpoint] = process.argv.slice(2)
if (process.argv.length < 5 || process.argv.length > 6) leave("usage: gate.mjs VERDICTS STATION DECIDE_MS [CONTROL]")
if (!/^[0-9]{1,5}$/.test(decideMs) || decideMs < 1 || decideMs > 60000) leave("DECIDE_MS is a whole number, 1 to 60000")
const { EDGE_SERVER_KEY, EDGE_PUBLIC_KEY, EDGE_SECRET_KEY, EDGE_SIMULATED } = process.env
const keys = EDGE_SERVER_KEY
  ? { curveServerKey: EDGE_SERVER_KEY, curvePublicKey: EDGE_PUBLIC_KEY, curveSecretKey: EDGE_SECRET_KEY }
  : {}
const options = { maxMessageSize: 65536, heartbeatInterval: 1000, heartbeatTimeout: 3000, linger: 0, ...keys }
const clock = () => Number(process.hrtime.bigint()) // ns, the machine's monotonic clock
const utf8 = new TextDecoder("utf-8", { fatal: true })
const say = (line) => console.log(line)

let epoch = null
const past = new Set()
let last = 0
let sent = 0
let lease = 0 // the station's word holds until then, by its own clock
let isReady = false
let isAlive = false
let asked = 0
let clockSet = 0
let ahead = controlEndpoint ? Infinity : 0 // how far the station's clock is ahead of ours

/** The station's time, if anything too late; infinitely late while it is not known, and then nothing passes. */
function now() {
  return controlEndpoint && clock() - clockSet > 5e9 ? Infinity : clock() + ahead
}

function whole(value, least = 0) {
  if (typeof value !== "number" || !Number.isInteger(value) || value < least) throw new Error(`not a number: ${value}`)
  return value
}

function text(value) {
  if (typeof value !== "string") throw new Error(`not a text: ${value}`)
  return value
}

/** Take one message; what is malformed raises and changes nothing. */
function hear(topic, payload) {
  const kind = topic.toString().split("/")[2]
  const m = JSON.parse(utf8.decode(payload))
  const isVerdict = kind === "verdict"
  const isHeartbeat = kind === "heartbeat"
  const isKnown = isVerdict || isHeartbeat || kind === "state"
  if (!isKnown || m.protocol !== "evp1" || m.station !== station) throw new Error("not of this station")
  const run = text(m.epoch)
  const reached = isVerdict ? whole(m.seq, 1) - 1 : whole(m.last_seq) // so many verdicts came before this message
  const part = isVerdict ? JSON.stringify(text(m.part)) : ""
  const captured = isVerdict ? whole(m.timing.captured) : 0
  const moment = isHeartbeat ? whole(m.sent) : 0
  const until = isHeartbeat ? whole(m.valid_until) : 0

  if (past.has(run)) {
    if (isHeartbeat && now() < until) {
      say("reject all two stations of one name")
      process.exit(1)
    }
    return
  }
  if (run !== epoch) {
    if (epoch !== null) {
      say("reject all new epoch") // another run, which knows nothing of the parts on the belt
      past.add(epoch)
    }
    last = epoch === null ? reached : 0 // what went before we came is history
    epoch = run
    sent = lease = asked = 0
    isAlive = false
    ahead = controlEndpoint ? Infinity : 0
  }
  if (reached > last) say(`reject ${last + 1}..${reached} - gap`)
  if (isVerdict && reached >= last) {
    // else it came before, or its place was a gap
    const why = doubt(m, captured)
    say(why ? `reject ${reached + 1} ${part} ${why}` : `pass ${reached + 1} ${part}`)
  }
  if (isHeartbeat && moment > sent) {
    sent = moment
    lease = until
    isReady = m.ready === true
  }
  last = Math.max(last, reached + (isVerdict ? 1 : 0))
}

/** Why a part must not pass; empty if nothing speaks against it. */
function doubt(m, captured) {
  if (m.verdict !== "good" || m.reason !== "clear") return JSON.stringify(m.reason) ?? "malformed"
  if (m.simulated !== false && EDGE_SIMULATED !== "1") return "simulated"
  const t = now()
  if (!(t <= lease)) return "no heartbeat"
  if (!isReady) return "not ready"
  return t >= captured && t - captured <= Number(decideMs) * 1e6 ? "" : "late"
}

/** The station's clock was at `now` some time after we asked: it is no further ahead than if that took no time. */
function hearPong(payload) {
  const m = JSON.parse(utf8.decode(payload))
  if (m.type !== "pong" || m.nonce !== Math.floor(asked / 1000) || m.epoch !== epoch) return
  ahead = whole(m.now) - asked
  clockSet = asked
}

let hasComplained = false

async function listen(socket, take) {
  for await (const frames of socket) {
    try {
      take(...frames)
    } catch (error) {
      if (!hasComplained) console.error(`ignored what is no message, and will not say so again: ${error.message}`)
      hasComplained = true // once: nobody may be reading
    }
  }
}

/** A socket, encrypted if there are keys. */
function connected(make, endpoint) {
  try {
    const socket = make()
    socket.connect(endpoint)
    return socket
  } catch (error) {
    return leave(`cannot connect to ${JSON.stringify(endpoint)}: ${error.message}`)
  }
}

const verdicts = connected(() => new Subscriber(options), endpoint)
verdicts.subscribe(`evp1/${station}/`)
listen(verdicts, hear)
setInterval(() => {
  const wasAlive = isAlive
  isAlive = now() <= lease
  if (wasAlive && !isAlive) say("reject all heartbeat lost")
}, 50)

if (controlEndpoint) {
  const control = connected(() => new Dealer({ ...options, sendTimeout: 0 }), controlEndpoint)
  listen(control, hearPong)
  setInterval(() => {
    if (clock() - asked < 1e9) return
    asked = clock()
    control.send(JSON.stringify({ type: "ping", nonce: Math.floor(asked / 1000) })).catch(() => {}) // nobody there
  }, 50)
}
