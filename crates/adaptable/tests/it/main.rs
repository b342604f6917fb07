//! The client commands, run as a user runs them: the real binary against a server that answers as the platform does.

mod check;
mod commands;
mod deploying;
mod exit_codes;
mod login;
mod server;
