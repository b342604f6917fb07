-- A user's own tokens end by themselves where they are told to; and they are looked for by their user.
alter table token add column expires_at integer;
create index token_user on token (user) where user is not null;
