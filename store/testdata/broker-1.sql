CREATE TABLE goose_db_version (
		id INTEGER PRIMARY KEY AUTOINCREMENT,
		version_id INTEGER NOT NULL,
		is_applied INTEGER NOT NULL,
		tstamp TIMESTAMP DEFAULT (datetime('now'))
	);
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
CREATE TABLE body (
    id   INTEGER PRIMARY KEY,
    data BLOB NOT NULL
);
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
CREATE TABLE outcome (
    sender    INTEGER NOT NULL,
    message   BLOB NOT NULL,
    recipient INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    why       TEXT NOT NULL,
    time      INTEGER NOT NULL,
    PRIMARY KEY (sender, message, recipient)
) WITHOUT ROWID;
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
INSERT INTO goose_db_version VALUES (1, 0, 1, '2026-11-24 18:16:17');
INSERT INTO goose_db_version VALUES (2, 1, 1, '2026-11-24 18:16:17');
INSERT INTO mesh VALUES (1, X'01000000000000000000000000000000', '', 0);
INSERT INTO peer VALUES (1, 1, X'0100000000000000000000000000000000000000000000000000000000000000', 0);
INSERT INTO peer VALUES (2, 1, X'0200000000000000000000000000000000000000000000000000000000000000', 0);
INSERT INTO peer VALUES (3, 1, X'0300000000000000000000000000000000000000000000000000000000000000', 0);
INSERT INTO head VALUES (1, 1, X'', 0, X'0000000000000000000000000000000000000000000000000000000000000000', 0, 0, X'68', X'73');
INSERT INTO entry VALUES (1, 0, X'0000000000000000000000000000000000000000000000000000000000000000', X'67656E65736973', X'736967');
INSERT INTO body VALUES (1, X'7365616C6564');
INSERT INTO queue VALUES (2, 1, 1, 1, X'01000000000000000000000000000000', 0, 1, 5, 99, X'07000000000000000000000000000000', X'626F782061');
INSERT INTO queue VALUES (3, 1, 4, 1, X'01000000000000000000000000000000', 0, 1, 5, 99, NULL, X'626F782062');
INSERT INTO outcome VALUES (1, X'03000000000000000000000000000000', 2, 6, 'muted', 5);
INSERT INTO claim VALUES (1, X'02000000000000000000000000000000', 2, 99);
INSERT INTO card VALUES (2, X'', 5, X'63617264', X'736967', NULL, 5);
INSERT INTO presence VALUES ('a4aaaaaaaaaaaaaaaaaaaaaaaa', 1, 2, 'web', 4, '', '', '', '', '', 0, 5);
INSERT INTO audit_log VALUES (1, 'aeaaaaaaaaaaaaaaaaaaaaaaaa', 'message', '', '', '{}', 5, '8f11d527b9520dc6', X'43EADB3588B5694C257E8BBF38508FCEAB8500A317B48B6BDD2D0E64431FE0E5');
INSERT INTO audit_log VALUES (2, 'aeaaaaaaaaaaaaaaaaaaaaaaaa', 'message', '', '', '{}', 6, '8f11d527b9520dc6', X'D1225631366729D8BD10CCB48E0195709DEC2426165E6C730E6C55253C7B49E9');
INSERT INTO create_token VALUES (X'0500000000000000000000000000000000000000000000000000000000000000', 500);
INSERT INTO setting VALUES ('life', '3');
