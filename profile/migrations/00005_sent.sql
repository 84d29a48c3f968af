-- What was sent, in one row where it went to one recipient, in the order of its ids.
-- Only what has no row in the history is found by its tail here.
CREATE TABLE sent_2 (
    message   BLOB NOT NULL,
    mesh      INTEGER NOT NULL REFERENCES mesh (id) ON DELETE CASCADE,
    tail      INTEGER, -- last 20 bits of the id; NULL: the history has them
    session   BLOB NOT NULL,
    address   TEXT NOT NULL,
    kind      TEXT NOT NULL,
    priority  INTEGER NOT NULL,
    one       INTEGER NOT NULL, -- any one of the recipients shows it
    size      INTEGER NOT NULL,
    time      INTEGER NOT NULL,
    expires   INTEGER NOT NULL,
    reply_to  BLOB,
    thread    BLOB,
    hash      BLOB NOT NULL, -- of what was sealed, which receipts name
    recipient INTEGER REFERENCES peer (id), -- of one with one recipient; else NULL, and in sent_target
    target    BLOB, -- session, as addressed
    label     TEXT,
    state     INTEGER,
    why       TEXT,
    steps     TEXT, -- JSON: every state, when, and by whose word
    PRIMARY KEY (message, mesh)
) WITHOUT ROWID;

CREATE TABLE sent_target_2 (
    message   BLOB NOT NULL,
    mesh      INTEGER NOT NULL,
    recipient INTEGER NOT NULL REFERENCES peer (id),
    target    BLOB,
    label     TEXT NOT NULL,
    state     INTEGER NOT NULL,
    why       TEXT NOT NULL,
    steps     TEXT NOT NULL,
    PRIMARY KEY (message, mesh, recipient),
    FOREIGN KEY (message, mesh) REFERENCES sent_2 (message, mesh) ON DELETE CASCADE
) WITHOUT ROWID;

INSERT INTO sent_2 (message, mesh, tail, session, address, kind, priority, one, size, time, expires, reply_to, thread, hash)
SELECT message, mesh, CASE WHEN NOT EXISTS (SELECT 1 FROM history h WHERE h.tail = s.tail AND h.message = s.message
    AND h.mesh = s.mesh AND h.outgoing = 1) THEN tail END,
    session, address, kind, priority, one, size, time, expires, reply_to, thread, hash
FROM sent s;

INSERT INTO sent_target_2 (message, mesh, recipient, target, label, state, why, steps)
SELECT s.message, s.mesh, t.recipient, t.session, t.label, t.state, t.why, t.steps FROM sent s JOIN sent_target t ON t.sent = s.id;

DROP TABLE sent_target;
DROP TABLE sent;
ALTER TABLE sent_2 RENAME TO sent;
ALTER TABLE sent_target_2 RENAME TO sent_target;
CREATE INDEX sent_tail ON sent (tail) WHERE tail IS NOT NULL;

-- What agents sent because of others is all that is looked for by its time.
DROP INDEX history_time;
CREATE INDEX history_automatic ON history (mesh, time) WHERE outgoing = 1 AND depth > 0;
