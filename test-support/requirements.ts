/**
 * What a Realtime server has to do, one behaviour each. A test cites the numbers it holds in its name, as `[42]`;
 * `requirements.test.ts` fails on a number that no test cites and that is not a known gap. Sessions are those in
 * `packages/local-supabase/src/realtime/golden/`.
 */
export interface Requirement {
  readonly behaviour: string;
  /** Where the fact comes from: a recorded session, the client library, or what newer servers do. */
  readonly source: string;
  /** Why no test cites it yet. */
  readonly gap?: string;
}

const client = "supabase-js 2.119.1";
const newer = "newer servers";
const rows = "Postgres changes are not there yet";
const limits = "limits of a whole project are not there yet";

export const realtimeRequirements: Readonly<Record<number, Requirement>> = {
  1: { behaviour: "an upgrade is 101, without extensions and sub-protocols", source: "handshake-headers" },
  2: { behaviour: "vsn absent or 1.0.0 is 1.0.0, 2.0.0 is 2.0.0", source: "connect-handshake" },
  3: { behaviour: "another vsn is 403 with an empty body", source: "connect-handshake" },
  4: { behaviour: "no key is 401, API key is missing", source: "connect-handshake" },
  5: { behaviour: "an empty key, and one that is no JWT, is 401", source: "connect-handshake" },
  6: { behaviour: "an expired key is 401", source: "connect-handshake" },
  7: { behaviour: "a key without exp or role is 401", source: "connect-handshake" },
  8: { behaviour: "a wrong signature and alg none are 401", source: "connect-handshake" },
  9: { behaviour: "the header x-api-key alone is enough", source: "connect-handshake" },
  10: { behaviour: "too many sockets are 429", source: "limit-users", gap: limits },
  11: {
    behaviour: "unknown and suspended tenants are refused",
    source: "connect-handshake",
    gap: "there is one tenant",
  },
  12: { behaviour: "publishable and secret keys stand for their roles", source: client },
  13: {
    behaviour: "a heartbeat is answered, before and after joins, also with a null ref",
    source: "heartbeat",
  },
  14: { behaviour: "other events on the topic phoenix are unmatched", source: "heartbeat" },
  15: { behaviour: "refs keep their JSON type", source: "malformed-frames" },
  16: { behaviour: "a malformed frame is neither answered nor punished", source: "malformed-frames" },
  17: { behaviour: "extra elements of an array are ignored", source: "malformed-frames" },
  18: { behaviour: "a frame over 5,000,000 bytes closes its socket", source: "broadcast-oversized" },
  19: { behaviour: "a silent client is closed after 60 s", source: "idle-timeout" },
  20: { behaviour: "messages on 1.0.0 have ref, event, topic and payload only", source: "heartbeat" },
  21: {
    behaviour: "at its end the server tells every channel and closes with 1012",
    source: "tenant-suspend-shutdown",
  },
  22: { behaviour: "an empty config joins", source: "join-ok" },
  23: { behaviour: "the client's whole config joins, refs echoed", source: "join-ok" },
  24: { behaviour: "only topics that begin with realtime: can be joined", source: "join-errors" },
  25: { behaviour: "realtime: alone wants a name", source: "join-errors" },
  26: { behaviour: "topics may be long and hold any character", source: "join-ok" },
  27: { behaviour: "booleans may be text in any case", source: "join-ok" },
  28: { behaviour: "nulls, unknown keys and null entries are accepted", source: "join-ok" },
  29: {
    behaviour: "a wrongly typed field is its default; a wrongly typed private is refused",
    source: "join-errors",
  },
  30: { behaviour: "a join that is no object is refused with its prefix", source: "join-errors" },
  31: { behaviour: "each kind of bad token has its reason", source: "join-errors" },
  32: {
    behaviour: "a token that is a number or an opaque key falls back to the socket's key",
    source: "join-ok",
  },
  33: { behaviour: "user_token goes before access_token", source: client },
  34: {
    behaviour: "a private join without rights is refused, and another may follow",
    source: "join-errors",
  },
  35: {
    behaviour: "a project with private channels only refuses public joins",
    source: "tenant-private-only",
    gap: "no such setting yet",
  },
  36: { behaviour: "a socket has at most so many channels", source: "limit-channels", gap: limits },
  37: { behaviour: "too many joins a second close the socket", source: "limit-joins", gap: limits },
  38: { behaviour: "pushes behind a join are done after it", source: "pipelining" },
  39: { behaviour: "while a join waits, the rest of the socket does not", source: newer },
  40: {
    behaviour: "a second join replaces the first, which is closed after the reply",
    source: "pipelining",
  },
  41: { behaviour: "a channel wanted before the server is there ends subscribed", source: client },
  42: { behaviour: "a leave is answered and closes", source: "leave-rejoin" },
  43: {
    behaviour: "a leave with another join_ref is ignored, one of an unjoined topic is ok",
    source: "leave-rejoin",
  },
  44: { behaviour: "unknown events on a joined topic are ignored", source: "unknown-events" },
  45: {
    behaviour: "a crash is phx_error with join_ref as ref, after which the client rejoins",
    source: "unknown-events",
  },
  46: { behaviour: "an orderly close is a system error, then phx_close", source: "access-token" },
  47: { behaviour: "a closed socket takes its presence with it", source: "presence-basic" },
  48: {
    behaviour: "a token that is the same, null, missing or opaque changes nothing",
    source: "access-token",
  },
  49: { behaviour: "a bad token closes the channel with its reason", source: "access-token" },
  50: { behaviour: "a new valid token keeps the channel", source: "access-token" },
  51: { behaviour: "a token without the right to read closes the channel", source: "access-token" },
  52: { behaviour: "a token that ends closes its channel, and no other", source: "token-expiry" },
  53: { behaviour: "a new token renews subscriptions to rows", source: "access-token", gap: rows },
  54: { behaviour: "tokens are changed at most once in 10 s, the last one wins", source: newer },
  55: { behaviour: "a text broadcast reaches others exactly as sent", source: "broadcast-payload-shapes" },
  56: {
    behaviour: "a binary JSON broadcast is binary on 2.0.0 and JSON on 1.0.0",
    source: "broadcast-self-false-ack-false",
  },
  57: { behaviour: "raw bytes reach 2.0.0 only", source: "broadcast-self-false-ack-false" },
  58: { behaviour: "the sender hears itself only with self", source: "broadcast-self-true-ack-false" },
  59: {
    behaviour: "with ack the reply comes after the own copy, without there is none",
    source: "broadcast-self-true-ack-true",
  },
  60: {
    behaviour: "event names may be empty, 255 bytes long, and count bytes",
    source: "broadcast-self-true-ack-true",
  },
  61: { behaviour: "metadata of clients is not forwarded", source: "broadcast-self-true-ack-true" },
  62: { behaviour: "public and private rooms of one name are apart", source: "broadcast-isolation" },
  63: { behaviour: "messages of one sender keep their order", source: client },
  64: {
    behaviour: "a payload that is too large is refused, and the socket lives on",
    source: "broadcast-oversized",
  },
  65: { behaviour: "a denied broadcast is an error with ack, and reaches nobody", source: newer },
  66: { behaviour: "kinds 0, 1 and 2 are never sent, kind 0 is ignored", source: client },
  67: { behaviour: "bytes marked as JSON that are none are not forwarded", source: "binary-json-injection" },
  68: { behaviour: "a broadcast that is no object does not end the channel", source: "broadcast-nonmap" },
  69: { behaviour: "too many messages close receiving channels", source: "limit-messages", gap: limits },
  70: { behaviour: "an ArrayBuffer comes out as an ArrayBuffer", source: client },
  71: { behaviour: "a batch is 202 and delivered as text", source: "rest-broadcast" },
  72: { behaviour: "the id of a message in a batch is meta.id", source: "rest-broadcast" },
  73: {
    behaviour: "the header apikey alone is enough; a bad or missing token is 401",
    source: "rest-broadcast",
  },
  74: {
    behaviour: "private messages of a batch reach the private room, denied ones nobody, 202 either way",
    source: "rest-broadcast",
  },
  75: {
    behaviour: "a bad batch is 422 with an entry per message, and nothing is sent",
    source: "rest-broadcast",
  },
  76: { behaviour: "JSON that does not parse is 400", source: "rest-broadcast" },
  77: { behaviour: "a batch above the limit is 429", source: "rest-broadcast", gap: limits },
  78: {
    behaviour: "the single endpoint takes JSON, bytes, nothing, and encoded names",
    source: "rest-broadcast",
  },
  79: { behaviour: "the single endpoint says 403, 415 and 422", source: "rest-broadcast" },
  80: { behaviour: "httpSend, and sending before subscribing, work as the client does them", source: client },
  81: { behaviour: "a preflight is answered", source: client, gap: "the HTTP server in front answers it" },
  82: { behaviour: "presence_state follows the reply to a join", source: "presence-basic" },
  83: { behaviour: "track is ok and a diff to all, with phx_ref", source: "presence-basic" },
  84: { behaviour: "who joins late gets the whole state", source: "presence-basic" },
  85: { behaviour: "an update is one diff with phx_ref_prev", source: "presence-basic" },
  86: { behaviour: "repeated track and untrack change nothing", source: "presence-basic" },
  87: { behaviour: "two sockets under one key have two metas", source: "presence-basic" },
  88: { behaviour: "an empty key is made up, a number becomes text", source: "presence-odd" },
  89: { behaviour: "odd presence calls have their replies", source: "presence-odd" },
  90: { behaviour: "a lost socket is a leave at once", source: "presence-basic" },
  91: { behaviour: "the sixth call in 30 s closes the channel", source: "presence-basic" },
  92: { behaviour: "a track that is too large closes the channel", source: "broadcast-oversized" },
  93: { behaviour: "without presence there is no state and no diff", source: "presence-disabled-listener" },
  94: {
    behaviour: "presence that may not be written is an error, that may not be read is silent",
    source: "private-channels",
  },
  95: { behaviour: "refs of clients are dropped, keys that break receivers refused", source: "presence-odd" },
  96: { behaviour: "all members know the same after any calls", source: client },
  97: { behaviour: "entries are echoed with equal ids for equal entries", source: "pgchanges-basic" },
  98: { behaviour: "Subscribed to PostgreSQL follows", source: "pgchanges-basic", gap: rows },
  99: { behaviour: "frames of insert, update and delete", source: "pgchanges-basic", gap: rows },
  100: { behaviour: "one frame a row, with every matching id", source: "pgchanges-basic", gap: rows },
  101: { behaviour: "commit order, and nothing after a rollback", source: "pgchanges-basic", gap: rows },
  102: { behaviour: "every filter operator", source: "pgchanges-filters", gap: rows },
  103: { behaviour: "updates that leave and enter a filter", source: "pgchanges-filters", gap: rows },
  104: { behaviour: "filters on deletes", source: "pgchanges-filters", gap: rows },
  105: { behaviour: "selected columns", source: "pgchanges-filters", gap: rows },
  106: { behaviour: "errors of subscriptions", source: "pgchanges-errors", gap: rows },
  107: { behaviour: "one bad entry, no entry", source: "pgchanges-errors", gap: rows },
  108: { behaviour: "a misspelt event is all events", source: "pgchanges-errors", gap: rows },
  109: { behaviour: "row level security of rows", source: "pgchanges-rls", gap: rows },
  110: { behaviour: "deletes reach everybody with the primary key only", source: "pgchanges-rls", gap: rows },
  111: { behaviour: "without the privilege an entry 401", source: "pgchanges-rls", gap: rows },
  112: { behaviour: "rows that are too large are an entry 413", source: "pgchanges-types", gap: rows },
  113: { behaviour: "how types are written", source: "pgchanges-types", gap: rows },
  114: {
    behaviour: "subscriptions by schema, by table, to everything",
    source: "pgchanges-basic",
    gap: rows,
  },
  115: { behaviour: "joins without config get events by name", source: "join-ok", gap: rows },
  116: { behaviour: "no change is missed after the system message", source: "pgchanges-basic", gap: rows },
  117: { behaviour: "wait holds the reply to a join", source: newer, gap: rows },
  118: { behaviour: "realtime.send reaches the right room, with meta.id", source: "db-broadcast" },
  119: { behaviour: "send_binary and direct inserts reach it, a rollback nothing", source: "db-broadcast" },
  120: { behaviour: "broadcast_changes says what changed", source: "db-broadcast" },
  121: {
    behaviour: "who may not write broadcasts nothing, and the statement succeeds",
    source: "db-broadcast",
  },
  122: { behaviour: "replication_ready is answered", source: "db-broadcast" },
  123: {
    behaviour: "replay, oldest first",
    source: "broadcast-replay",
    gap: "replay is refused, it is not there yet",
  },
  124: {
    behaviour: "a replay on a public channel, or with bad parameters, is refused",
    source: "join-errors",
  },
  125: { behaviour: "the right to read one kind is enough where it is wanted", source: "private-channels" },
  126: { behaviour: "policies see topic, claims, role and x- headers", source: "private-channels" },
  127: { behaviour: "rights are kept until a new token or a rejoin", source: "private-channels" },
  128: { behaviour: "a policy that raises is a refusal", source: "private-channels" },
};
