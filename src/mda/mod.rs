//! The mail delivery agent: the mailbox store, LMTP into it, POP3 and IMAP out of it.
