-- An app: a name, a range of user ids (slot), a settings document. Sealed columns hold secrets and are
-- encrypted with the data directory's key.
create table app (
    id          integer primary key,
    name        text    not null unique,
    slot        integer not null unique check (slot between 1 and 40000),
    settings    blob    not null, -- sealed
    paused      integer not null default 0 check (paused in (0, 1)),
    live        integer,          -- the revision that the edge serves
    created_at  integer not null
) strict;

-- A revision is image and variables, and never changes.
create table revision (
    app         integer not null references app (id) on delete cascade,
    number      integer not null,
    created_at  integer not null,
    image       text    not null,
    commit_id   text,
    spec        blob    not null, -- sealed
    primary key (app, number)
) strict;

-- A deployment is one attempt and has one end.
create table deployment (
    app         integer not null references app (id) on delete cascade,
    number      integer not null,
    state       text    not null check (state in ('queued', 'running', 'live', 'failed', 'cancelled', 'superseded')),
    kind        text    not null check (kind in ('source', 'settings', 'rollback')),
    request     blob    not null, -- sealed: what is to be deployed
    revision    integer,
    template    text,
    commit_id   text,
    error_code  text,
    error       text,
    help        text,
    created_at  integer not null,
    started_at  integer,
    ended_at    integer,
    primary key (app, number)
) strict;

create index deployment_open on deployment (state) where state in ('queued', 'running');

create table step (
    app         integer not null,
    deployment  integer not null,
    name        text    not null,
    state       text    not null check (state in ('running', 'done', 'cached', 'failed')),
    started_at  integer not null,
    seconds     real,
    primary key (app, deployment, name),
    foreign key (app, deployment) references deployment (app, number) on delete cascade
) strict;

-- A token opens the API and the git remote from elsewhere; only its hash is kept.
create table token (
    id          integer primary key,
    name        text    not null,
    app         integer references app (id) on delete cascade, -- null: the whole platform
    hash        blob    not null unique,
    created_at  integer not null,
    used_at     integer
) strict;
