-- The messages of a thread, and those that no human sent.
CREATE INDEX history_thread ON history (mesh, thread) WHERE thread IS NOT NULL;
