-- Times are Unix milliseconds, ids and keys their bytes, peers small integers
-- wherever an index has them. What an operator reads (presence, audit_log) has
-- ids as the program prints them.

CREATE TABLE mesh (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    mesh_id    BLOB NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE TABLE peer (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    mesh    INTEGER NOT NULL REFERENCES mesh (id),
    key     BLOB NOT NULL,
    seen_at INTEGER NOT NULL DEFAULT 0, -- when its last session ended
    UNIQUE (mesh, key)
);

-- A chain's newest head.
CREATE TABLE head (
    id       INTEGER PRIMARY KEY,
    mesh     INTEGER NOT NULL REFERENCES mesh (id),
    chain_id BLOB NOT NULL, -- empty: the roster
    n        INTEGER NOT NULL,
    hash     BLOB NOT NULL,
    time     INTEGER NOT NULL,
    life     INTEGER NOT NULL,
    signed   BLOB NOT NULL,
    sig      BLOB NOT NULL,
    UNIQUE (mesh, chain_id)
);

CREATE TABLE entry (
    chain  INTEGER NOT NULL REFERENCES head (id),
    n      INTEGER NOT NULL,
    hash   BLOB NOT NULL,
    signed BLOB NOT NULL,
    sig    BLOB NOT NULL,
    PRIMARY KEY (chain, n)
) WITHOUT ROWID;

-- What is sealed, once a message.
CREATE TABLE body (
    id   INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);

-- Who waits for it, once a recipient. The primary key is the order of
-- delivery. body is no foreign key: to check one when a body goes would need an
-- index over the whole queue.
CREATE TABLE queue (
    recipient INTEGER NOT NULL,
    lane      INTEGER NOT NULL,
    number    INTEGER NOT NULL,
    sender    INTEGER NOT NULL,
    message   BLOB NOT NULL,
    priority  INTEGER NOT NULL, -- receipts of all priorities share a lane
    body      INTEGER NOT NULL,
    sent      INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    session   BLOB, -- the sender's hint
    box       BLOB, -- the recipient's own, of a message to several; NULL of a direct one
    PRIMARY KEY (recipient, lane, number)
) WITHOUT ROWID;
CREATE UNIQUE INDEX queue_message ON queue (sender, message, recipient);

-- What became of messages whose sender was away.
CREATE TABLE outcome (
    sender    INTEGER NOT NULL,
    message   BLOB NOT NULL,
    recipient INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    why       TEXT NOT NULL,
    time      INTEGER NOT NULL,
    PRIMARY KEY (sender, message, recipient)
) WITHOUT ROWID;

-- Which device of a user shows a message.
CREATE TABLE claim (
    sender  INTEGER NOT NULL,
    message BLOB NOT NULL,
    device  INTEGER NOT NULL,
    expires INTEGER NOT NULL,
    PRIMARY KEY (sender, message)
) WITHOUT ROWID;

CREATE TABLE card (
    peer    INTEGER NOT NULL REFERENCES peer (id),
    session BLOB NOT NULL, -- empty: the peer's own
    counter INTEGER NOT NULL,
    signed  BLOB NOT NULL,
    sig     BLOB NOT NULL,
    extras  BLOB,
    time    INTEGER NOT NULL,
    PRIMARY KEY (peer, session)
) WITHOUT ROWID;

CREATE TABLE presence (
    session_id   TEXT NOT NULL,
    mesh         INTEGER NOT NULL REFERENCES mesh (id),
    peer         INTEGER NOT NULL REFERENCES peer (id),
    label        TEXT NOT NULL,
    pid          INTEGER NOT NULL,
    cwd          TEXT NOT NULL,
    host         TEXT NOT NULL,
    client       TEXT NOT NULL,
    status       TEXT NOT NULL,
    receives     TEXT NOT NULL,
    connected_at INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL,
    PRIMARY KEY (mesh, session_id)
) WITHOUT ROWID;

-- Metadata only. writer is the broker process; each row's hash covers the row
-- and the hash of the one before of the same mesh and writer.
CREATE TABLE audit_log (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    mesh_id        TEXT NOT NULL,
    event_type     TEXT NOT NULL,
    actor_peer_id  TEXT NOT NULL,
    target_peer_id TEXT NOT NULL,
    metadata       TEXT NOT NULL, -- JSON
    created_at     INTEGER NOT NULL,
    writer         TEXT NOT NULL,
    hash           BLOB NOT NULL
);
CREATE INDEX audit_log_mesh ON audit_log (mesh_id, id);

CREATE TABLE create_token (
    hash  BLOB PRIMARY KEY,
    until INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE setting (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;
