-- The platform's GitHub App, at most one, and the keys of it.
create table github_app (
    one          integer primary key check (one = 1),
    keys         blob    not null, -- sealed
    created_at   integer not null,
    problem      text              -- why GitHub takes the keys no more
) strict;

-- An installation of the App on an account of GitHub's, by GitHub's own number.
create table github_installation (
    id           integer primary key,
    account      text    not null,
    kind         text    not null,
    page         text    not null, -- where it is managed on GitHub; empty where that is not known
    suspended    integer not null default 0 check (suspended in (0, 1)),
    seen_at      integer not null
) strict;

-- A user's tokens from GitHub.
create table github_token (
    user         integer primary key references user (id) on delete cascade,
    tokens       blob    not null, -- sealed
    updated_at   integer not null
) strict;

-- A browser on its way to GitHub and back. Only the hash of `state` is kept.
create table github_flow (
    state        blob    primary key,
    flow         blob    not null, -- sealed
    expires_at   integer not null
) strict;

-- Where an app's source comes from: a branch of a repository, whose number stays when its name changes.
create table app_source (
    app          integer primary key references app (id) on delete cascade,
    repository   integer not null,
    full_name    text    not null,
    installation integer not null,
    branch       text    not null,
    auto_deploy  integer not null check (auto_deploy in (0, 1)),
    push_before  text    not null default '', -- the last push that was worked off, from where to where
    push_after   text    not null default '',
    trouble      text,                        -- what stands in the way of the next push, in words for people
    help         text,
    trouble_at   integer,
    linked_at    integer not null
) strict;
create index app_source_repository on app_source (repository);

-- A delivery of GitHub's. Its id is taken once; what it says is forgotten once it is worked off.
create table github_delivery (
    seq          integer primary key autoincrement,
    id           text    not null unique,
    event        text    not null,
    repository   integer,
    received_at  integer not null,
    payload      blob,             -- sealed
    state        text    not null check (state in ('waiting', 'done', 'failed')),
    tries        integer not null default 0,
    next_at      integer not null,
    result       text    not null default ''
) strict;
create index github_delivery_waiting on github_delivery (seq) where state = 'waiting';

-- What GitHub is told of a deployment, and how far that has come.
create table github_report (
    app          integer not null,
    deployment   integer not null,
    repository   integer not null,
    full_name    text    not null,
    installation integer not null,
    commit_id    text    not null,
    remote       integer,                        -- GitHub's own number of its deployment
    told         text    not null default '',    -- the state that GitHub has been told
    trying       text    not null default '',    -- the state that GitHub is being told, how often that failed, and when it is tried next
    tries        integer not null default 0,
    next_at      integer not null,
    given_up     integer not null default 0 check (given_up in (0, 1)),
    problem      text,
    primary key (app, deployment),
    foreign key (app, deployment) references deployment (app, number) on delete cascade
) strict;
