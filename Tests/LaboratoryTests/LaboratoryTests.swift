import TestSupport
import Testing

/// The real binary behind real NATs, in network namespaces (TestSupport/Networks/Lab.swift draws them). Needs root.
@Suite(
    .serialized,
    .enabled(if: Lab.isAvailable, "\(Lab.whyNot ?? "")"))
struct LaboratoryTests {}
