//! SASL (RFC 4422), both ends, without I/O: who may log in, shared by SMTP, POP3 and IMAP.
