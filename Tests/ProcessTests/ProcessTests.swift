import Testing

/// The real binary, end to end on loopback. Every suite is nested in here, so that they run one after the other: they
/// measure, and they load the machine.
@Suite(.serialized)
struct ProcessTests {}
