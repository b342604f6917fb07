-- What was answered to a request that makes something, by the key that its client chose (`Idempotency-Key`); kept for a day.
create table once (
    id           blob    primary key, -- SHA-256 of who asks, of the operation, and of the key
    request      blob    not null,    -- SHA-256 of what was asked for: the same key with another request is a mistake
    process      blob    not null,    -- the run of the platform that does it; what another one left unanswered stays so
    status       integer,             -- of the answer; null as long as there is none
    answer       blob,                -- sealed: it may hold a token
    created_at   integer not null
) strict, without rowid;
create index once_created on once (created_at);
