//! The one program: PID 1, every service and `rapctl` are this binary under other names.

fn main() {}
