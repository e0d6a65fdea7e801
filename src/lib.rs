//! Postroad: a mail world on one machine.

pub mod auth;
pub mod cli;
pub mod control;
pub mod demo;
pub mod dns;
pub mod host;
pub mod imap;
pub mod journey;
pub mod mail;
pub mod mda;
pub mod mta;
pub mod mua;
pub mod net;
pub mod pop3;
pub mod smtp;
pub mod store;
pub mod trip;
pub mod world;
