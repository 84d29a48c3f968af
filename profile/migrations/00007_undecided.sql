-- What was sent and waits at the broker (state 2), or ran out (7).
CREATE INDEX sent_undecided ON sent (mesh) WHERE state IN (2, 7);
CREATE INDEX sent_target_undecided ON sent_target (mesh) WHERE state IN (2, 7);
