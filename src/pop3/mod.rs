//! POP3 (RFC 1939), both ends, without I/O.
