"""The fixed limits; each name ends in its unit. What an operator may change is in `settings.py`."""

HEAD_MAX_BYTES = 16 * 1024
"""Request line and headers together; over it 431 (RFC 6585 section 5), as nginx and Node."""

HEADERS_MAX_COUNT = 100
"""Header lines of one request; over it 431. Browsers send about 20."""

TARGET_MAX_BYTES = 8 * 1024
"""The request target; over it 414. Leaves room for a token in the query."""

BODY_MAX_BYTES = 1024 * 1024
"""A request body that is read whole; over it 413. A list of 3,000 client IDs fits."""

CHUNK_LINE_MAX_BYTES = 256
"""A chunk's size line with its extensions (RFC 9112 section 7.1.1); over it 400."""

TRAILERS_MAX_BYTES = 4 * 1024
"""Trailer fields behind a chunked body; over it 431."""

PIPELINE_MAX_BYTES = 256 * 1024
"""What may wait behind a request that is still being answered; over it the answer is the last."""

CONTROL_FRAME_MAX_BYTES = 125
"""Payload of a ping, pong or close frame (RFC 6455 section 5.5)."""

CLOSE_REASON_MAX_BYTES = 123
"""UTF-8 text in a close frame, beside its two-byte code (RFC 6455 section 5.5.1)."""

CLIENT_FRAME_MAX_BYTES = 256 * 1024
"""A WebSocket message from a client, before and after inflating; over it 1009."""

SECRET_MIN_BYTES = 32
"""A signing key: as long as SHA-256's output (RFC 7518 section 3.2)."""

TOKEN_MAX_BYTES = 6 * 1024
"""A compact token; a longer one is refused before it is decoded."""

TOKEN_MIN_MINUTES = 1
TOKEN_DEFAULT_MINUTES = 120
TOKEN_MAX_MINUTES = 1440
"""A token's lifetime."""

TOKEN_CLOCK_SKEW_S = 300
"""How far in the future a token's `iat` may be: a minting clock that is ahead of ours."""

GROUP_NAME_MAX_BYTES = 256
"""UTF-8 of a group's name."""

GROUPS_MAX_COUNT = 128
"""Groups in one token's `groups` claim."""

HEADER_TIMEOUT_S = 10.0
"""From accepting a connection, or the first byte of a request, to the end of its head."""

BODY_TIMEOUT_S = 30.0
"""From the end of a head to the end of a body that is read whole; over it 408."""

KEEP_ALIVE_S = 75.0
"""How long an idle HTTP connection may stay open, as nginx."""

CLOSE_TIMEOUT_S = 5.0
"""How long the peer may take to answer a close frame, or to read the end of an answer."""

WRITE_HIGH_WATER_BYTES = 64 * 1024
"""Over it the transport asks us to pause, and the backlog stays in the ring as references."""

FLUSH_MAX_BYTES = 256 * 1024
"""The most that one write hands to a transport, beyond a single message."""

FRAMES_PER_TURN_BYTES = 4 * 1024
"""Of one read of a WebSocket, before others have a turn: 680 frames, of the smallest."""

PENDING_CONTROL_MAX_BYTES = 16 * 1024
"""Pongs and answers queued for a peer that sends but does not read; over it the peer is cut."""

BODY_WAITING_MAX_BYTES = 256 * 1024
"""What may wait of a streamed body before its connection is read no further."""

ANSWERS_WAITING_MAX_BYTES = 16 * 1024 * 1024
"""Answers of a batch that wait for a client that sends first and reads later."""

BATCH_LINES_PER_TICK = 128
"""After so many lines of a batch the loop delivers; a small part of `ring_max_messages`."""

IDEMPOTENCY_S = 300.0
"""How long a send's answer is kept for those who send it again."""

IDEMPOTENCY_KEY_MAX_BYTES = 256
"""UTF-8 of an idempotency key."""

IDEMPOTENCY_MAX_KEYS = 100_000
"""Keys that are remembered at a time; the oldest goes first."""

CLIENT_MESSAGES_PER_S = 100.0
CLIENT_MESSAGES_BURST = 200
"""How often one client may send update-messages; over it 429."""

CLIENT_TARGETS_MAX_COUNT = 100
"""Clients that a message of a client may name, each to be compared with its grants; over it 400."""

CLIENT_SENDS_MAX_COUNT = 64
"""Messages of one WebSocket that are being taken at a time; over it 429."""

REQUESTS_PER_TICK = 16
"""Pipelined requests of one connection that are answered before others have a turn."""

POLL_WAIT_S = 25.0
"""How long a long poll waits for a message before it answers with none."""

POLL_ANSWER_MAX_BYTES = 1024 * 1024
"""Past it an answer takes up no further messages: what is made must wait until it is read."""

SLOWEST_MAX_COUNT = 100
"""The most sessions that `GET /v1/stats` names."""

LISTEN_BACKLOG = 4096
"""Connections that the kernel completes before we accept them; it may be set to keep fewer."""

ACCEPTS_PER_TICK = 4
"""The most connections accepted in a tick of the loop, on each address."""

ADMISSION_BUDGET_S = 0.0005
"""So much of a loop's tick goes to new connections while others wait for messages."""

ADMISSION_SHARE = 0.25
"""In a long tick, so much goes there for each second that the rest of the tick has taken."""

DEADLINES_BUDGET_S = 0.0005
"""As much goes to the deadlines that are due at once: pings of clients that came together."""

DEPARTURES_EVERY_S = 0.1
"""How often sessions whose connections were lost are taken out: not while thousands are lost."""

DEPARTURES_BUDGET_S = 0.002
"""So much of a loop's tick goes to that."""

STORM_MIN_COUNT = 64
"""Lost sessions that wait for it make a storm: a request's messages do not wait for others."""

UNSENT_MAX_BYTES = 64 * 1024
"""TCP_NOTSENT_LOWAT: beyond it the kernel takes nothing more for a slow client."""

FILES_RESERVE = 200
"""File descriptors kept back from connections, for the log, the loop and outgoing requests."""

TURNED_AWAY_MAX_COUNT = FILES_RESERVE // 2
"""Connections over `max_connections` that may linger to read their 503; more are closed at once."""

RETRY_AFTER_S = 5
"""What a 503 tells the client to wait."""

PREFLIGHT_MAX_AGE_S = 600
"""How long a browser may remember a CORS preflight's answer."""

HISTORY_ENTRY_BYTES = 400
HISTORY_KEY_BYTES = 72
HISTORY_LOG_BYTES = 200
HISTORY_FLOOR_BYTES = 320
"""What the history costs beside the data and an encoding, measured by `bench/history.py`: for each
entry, each key of an entry, each key with entries, and each key of which a floor is known."""

HISTORY_GAPS_SHARE = 8
"""What allocators lose to rounding and gaps between data: one byte more for so many, measured."""

HISTORY_KEY_MAX_MESSAGES = 16 * 1024
"""Entries that one channel or group may have in the history, so that none can be a flood."""

HISTORY_FLOORS_MAX_KEYS = 64 * 1024
HISTORY_FLOORS_SHARE = 4
"""Channels and groups of which it is known what they have lost, and the part of the history's bytes
that this may take, one in so many; the oldest is forgotten first."""

IDS_RESERVED_MS = 1000
"""How far ahead a process notes in `state_dir` which ids it may give out."""

LINGER_S = 2.0
"""How long a closing HTTP connection still reads, so that a reset does not eat its answer."""

TICK_S = 0.25
"""The resolution of the timer wheel."""

GOODBYES_PER_S = 500
"""How fast a shutdown sends its clients away; `drain_s` bounds how long that may take."""

NOTICES_MAX_COUNT = 100_000
NOTICES_MAX_BYTES = 64 * 1024 * 1024
"""Presence notices that wait for the application; over it the superseded ones go first."""

NOTICE_BYTES = 600
"""What a waiting notice costs beside its client ID, measured where it is its client's only one."""

NOTICES_AT_A_TIME = 16
"""Notices that are under way to the application together."""

NOTICE_TIMEOUT_S = 10.0
"""How long the application may take to answer a notice, or an update-message."""

NOTICE_WAIT_FIRST_S = 0.25
NOTICE_WAIT_MAX_S = 10.0
"""The longest wait before a notice is tried again: after its first failure, and ever."""

OUTAGE_CLIENTS = 3
"""Clients whose notices fail in a row before the application is taken to be down."""

PROBE_WAIT_MAX_S = 2.0
"""How rarely, at most, an application that is down is tried."""

NOTICE_GAP_S = 0.002
"""From one notice's beginning to the next's; each costs 1 ms, and half the loop is for channels."""

NOTICES_DRAIN_S = 5.0
NOTICES_DRAIN_MAX_S = 60.0
"""How long a shutdown waits for the application to take a notice, and for it to take them all."""

MESSAGES_WAITING_MAX_BYTES = 16 * 1024 * 1024
"""Update-messages that wait for the application's answers; over it 503."""

MESSAGES_WAITING_OF_ONE_MAX_BYTES = 1024 * 1024
"""Those of one client, which has then taken its share; over it 503."""
