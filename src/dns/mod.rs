//! The world's zones, the server that answers from them, and the resolver that asks. RFC 1034, 1035.
