//! From pieces, and the UKI that runs, to the new UKI as a stream. Pure: bytes in, bytes out.
