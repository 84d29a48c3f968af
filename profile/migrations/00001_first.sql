-- Times are Unix milliseconds, ids and keys their bytes. Peers are small
-- integers in every index: a key is 32 bytes.

CREATE TABLE mesh (
    id           INTEGER PRIMARY KEY,
    mesh_id      BLOB NOT NULL UNIQUE,
    card_counter INTEGER NOT NULL DEFAULT 0 -- of the last card that was signed
);

CREATE TABLE peer (
    id  INTEGER PRIMARY KEY,
    key BLOB NOT NULL UNIQUE
);

-- What a command set for the peer (status, summary), and the like.
CREATE TABLE value (
    mesh  INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    name  TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (mesh, name)
) WITHOUT ROWID;

CREATE TABLE chain (
    id       INTEGER PRIMARY KEY,
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    chain_id BLOB NOT NULL, -- empty: the roster
    n        INTEGER NOT NULL, -- the head's place
    signed   BLOB NOT NULL,
    sig      BLOB NOT NULL,
    UNIQUE (mesh, chain_id)
);

CREATE TABLE entry (
    chain  INTEGER NOT NULL REFERENCES chain (id) ON DELETE CASCADE,
    n      INTEGER NOT NULL,
    signed BLOB NOT NULL,
    sig    BLOB NOT NULL,
    PRIMARY KEY (chain, n)
) WITHOUT ROWID;

-- Revocations met outside the chain, kept beside it.
CREATE TABLE ban (
    id     INTEGER PRIMARY KEY,
    mesh   INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    since  INTEGER NOT NULL,
    signed BLOB NOT NULL,
    sig    BLOB NOT NULL,
    UNIQUE (mesh, signed)
);

-- Processes. One is live while it holds its lock in run/.
CREATE TABLE session (
    id       BLOB PRIMARY KEY,
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    label    TEXT NOT NULL,
    pid      INTEGER NOT NULL,
    socket   TEXT NOT NULL,
    client   TEXT NOT NULL,
    receives INTEGER NOT NULL,
    status   INTEGER NOT NULL,
    active   INTEGER NOT NULL,
    started  INTEGER NOT NULL
) WITHOUT ROWID;

-- Sealed, until the broker acknowledged it. A place is never used again, since
-- processes remember how far they have read.
CREATE TABLE outbox (
    place     INTEGER PRIMARY KEY AUTOINCREMENT,
    mesh      INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    session   BLOB NOT NULL,
    id        BLOB NOT NULL,
    class     INTEGER NOT NULL,
    priority  INTEGER NOT NULL,
    one       INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    recipient INTEGER REFERENCES peer (id), -- of a direct one; else NULL, and in outbox_target
    hint      BLOB,
    sealed    BLOB NOT NULL
);
CREATE INDEX outbox_session ON outbox (mesh, session);

CREATE TABLE outbox_target (
    place     INTEGER NOT NULL REFERENCES outbox (place) ON DELETE CASCADE,
    target    INTEGER NOT NULL, -- 0, 1, 2 … as addressed
    recipient INTEGER NOT NULL REFERENCES peer (id),
    hint      BLOB,
    box       BLOB,
    state     INTEGER NOT NULL,
    why       TEXT NOT NULL,
    PRIMARY KEY (place, target)
) WITHOUT ROWID;

-- What was sent: metadata only. tail is the last 20 bits of the id, by which
-- people name it.
CREATE TABLE sent (
    id       INTEGER PRIMARY KEY,
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    message  BLOB NOT NULL,
    tail     INTEGER NOT NULL,
    session  BLOB NOT NULL,
    address  TEXT NOT NULL,
    kind     TEXT NOT NULL,
    priority INTEGER NOT NULL,
    one      INTEGER NOT NULL, -- any one of the recipients shows it
    size     INTEGER NOT NULL,
    time     INTEGER NOT NULL,
    expires  INTEGER NOT NULL,
    reply_to BLOB,
    thread   BLOB,
    hash     BLOB NOT NULL -- of what was sealed, which receipts name
);
CREATE UNIQUE INDEX sent_message ON sent (tail, message, mesh);

CREATE TABLE sent_target (
    sent      INTEGER NOT NULL REFERENCES sent (id) ON DELETE CASCADE,
    recipient INTEGER NOT NULL REFERENCES peer (id),
    session   BLOB, -- as addressed
    label     TEXT NOT NULL,
    state     INTEGER NOT NULL,
    why       TEXT NOT NULL,
    steps     TEXT NOT NULL, -- JSON: every state, when, and by whose word
    PRIMARY KEY (sent, recipient)
) WITHOUT ROWID;

-- Sealed, until it was seen.
CREATE TABLE inbox (
    place     INTEGER PRIMARY KEY AUTOINCREMENT,
    mesh      INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    sender    INTEGER NOT NULL REFERENCES peer (id),
    id        BLOB NOT NULL,
    state     INTEGER NOT NULL,
    arrived   INTEGER NOT NULL,
    session   BLOB NOT NULL, -- the sender's
    audience  BLOB NOT NULL,
    priority  INTEGER NOT NULL,
    n         INTEGER NOT NULL,
    sent      INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    for_id    BLOB,
    for_label TEXT NOT NULL,
    reply     INTEGER NOT NULL,
    copy      INTEGER NOT NULL,
    takers    BLOB, -- sessions, 16 bytes each
    missing   INTEGER NOT NULL,
    shower    BLOB,
    again     INTEGER NOT NULL,
    box       BLOB,
    sealed    BLOB NOT NULL -- last: a scan need not read it
);

-- Ids of what was taken into the inbox.
CREATE TABLE taken (
    mesh   INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    sender INTEGER NOT NULL REFERENCES peer (id),
    id     BLOB NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (mesh, sender, id)
) WITHOUT ROWID;

CREATE TABLE stream (
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    sender   INTEGER NOT NULL REFERENCES peer (id),
    session  BLOB NOT NULL,
    audience BLOB NOT NULL,
    priority INTEGER NOT NULL,
    shown    INTEGER NOT NULL,
    until    INTEGER NOT NULL,
    PRIMARY KEY (mesh, sender, session, audience, priority)
) WITHOUT ROWID;

-- The last inner number that a session of ours gave out.
CREATE TABLE numbering (
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    session  BLOB NOT NULL,
    audience BLOB NOT NULL,
    priority INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    PRIMARY KEY (mesh, session, audience, priority)
) WITHOUT ROWID;

-- What senders are to be told by sealed receipts.
CREATE TABLE receipt (
    place     INTEGER PRIMARY KEY AUTOINCREMENT,
    mesh      INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    session   BLOB NOT NULL,
    recipient INTEGER NOT NULL REFERENCES peer (id),
    id        BLOB NOT NULL,
    hash      BLOB NOT NULL,
    state     INTEGER NOT NULL,
    why       TEXT NOT NULL,
    time      INTEGER NOT NULL,
    expires   INTEGER NOT NULL
);

-- A user, or one device of a user: user@device.
CREATE TABLE trust (
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    who      TEXT NOT NULL,
    policy   INTEGER NOT NULL,
    verified INTEGER NOT NULL, -- when the safety number was compared; 0: not
    keys     BLOB NOT NULL,    -- over which keys, 32 bytes each
    PRIMARY KEY (mesh, who)
) WITHOUT ROWID;

CREATE TABLE card (
    mesh    INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    peer    INTEGER NOT NULL REFERENCES peer (id),
    session BLOB NOT NULL, -- empty: the peer's own
    counter INTEGER NOT NULL,
    time    INTEGER NOT NULL,
    signed  BLOB NOT NULL,
    sig     BLOB NOT NULL,
    extras  BLOB,
    PRIMARY KEY (mesh, peer, session)
) WITHOUT ROWID;

-- One's own messages in the clear.
CREATE TABLE history (
    place    INTEGER PRIMARY KEY AUTOINCREMENT,
    mesh     INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    message  BLOB NOT NULL,
    tail     INTEGER NOT NULL,
    outgoing INTEGER NOT NULL,
    peer     INTEGER NOT NULL REFERENCES peer (id), -- the sender
    address  TEXT NOT NULL,   -- of the other side
    session  BLOB NOT NULL,
    label    TEXT NOT NULL,
    audience TEXT NOT NULL,   -- as typed
    kind     TEXT NOT NULL,
    priority INTEGER NOT NULL,
    reply_to BLOB,
    thread   BLOB,
    depth    INTEGER NOT NULL,
    via      TEXT NOT NULL,
    sent     INTEGER NOT NULL,
    time     INTEGER NOT NULL, -- when it was shown here, or sent from here
    shower   BLOB NOT NULL,    -- the session of ours that showed or sent it
    again    INTEGER NOT NULL,
    body     TEXT NOT NULL
);
CREATE UNIQUE INDEX history_message ON history (tail, message, mesh, peer);
CREATE INDEX history_time ON history (mesh, time);
