-- A deployment may be the second try of one that the platform's end cut short.
alter table deployment add column retry_of integer;

-- The newest commit of its branch that an app has dealt with. Empty: not known, and what is found next counts as dealt with.
alter table app_source add column head text not null default '';
