-- A draft: an app that somebody is about to make in the browser, step by step. Its document holds variables and is sealed.
create table draft (
    id          text    primary key, -- random; it is in addresses
    owner       integer not null references user (id) on delete cascade, -- nobody else gets it
    document    blob    not null,    -- sealed
    upload      text,                -- the digest of the source that it needs, kept as long as the draft does
    ended       integer not null default 0 check (ended in (0, 1)), -- deployed: kept a while, so that a second click finds the first
    created_at  integer not null,
    updated_at  integer not null
) strict;

create index draft_owner on draft (owner, updated_at);

-- What a failure was recognised as: one document of plain text (id, cause, what to change).
alter table deployment add column diagnosis text;
