//! The plain network demos: greeter, echo, fetch. The smallest users of `net`.
