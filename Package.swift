// swift-tools-version: 6.2
import Foundation
import PackageDescription

/// The layers, from the top down; imports only go down (docs/architecture.md, held by Tests/ArchitectureTests).
let strict: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .treatAllWarnings(as: .error),
]

/// Test targets may use force-unwraps and open imports; everything else holds for them too.
let testing: [SwiftSetting] = [.enableUpcomingFeature("ExistentialAny")]

/// Under the address sanitizer the C modules are held to what C defines too; its runtime has what that needs.
let checked: [CSetting] =
    Context.environment["P2PRC_SANITIZER"] == "address"
    ? [.unsafeFlags(["-fsanitize=undefined", "-fno-sanitize-recover=undefined"])] : []

let checkedCXX: [CXXSetting] =
    Context.environment["P2PRC_SANITIZER"] == "address"
    ? [.unsafeFlags(["-fsanitize=undefined", "-fno-sanitize-recover=undefined"])] : []

/// The commit that is built, for `--version`: a plain build cannot ask git, and there may be none to ask. The Makefile does.
let commit = (Context.environment["P2PRC_COMMIT"] ?? "").filter { $0.isHexDigit || "-dirty".contains($0) }
let named: [CSetting] = commit.isEmpty ? [] : [.define("P2PRC_COMMIT", to: commit)]

/// LLVM's linker, where it comes with the toolchain or lies in the path; otherwise the system's, and nothing is lost but
/// what follows. It takes 2 s where gold takes 19, and packs the relative relocations: the loader reads 50 KB of them
/// instead of 3.3 MB, all of which stays resident. The loader of glibc knows that form since 2.36. Only for what is a
/// program here: a library with such flags could be nobody's dependency.
let linked: [LinkerSetting] = {
    var folders = (Context.environment["PATH"] ?? "").split(separator: ":").map { URL(fileURLWithPath: String($0)) }
    func holds(_ folder: URL, _ name: String) -> Bool {
        FileManager.default.isExecutableFile(atPath: folder.appendingPathComponent(name).path)
    }
    if let swift = folders.first(where: { holds($0, "swift") })?.appendingPathComponent("swift") {
        folders.append(swift.resolvingSymlinksInPath().deletingLastPathComponent())
    }
    guard folders.contains(where: { holds($0, "ld.lld") }) else { return [] }
    var flags = ["-use-ld=lld"]
    #if canImport(Glibc)
    var version = [UInt8](repeating: 0, count: 64)  // "glibc 2.36"
    let length = version.withUnsafeMutableBytes {
        confstr(Int32(_CS_GNU_LIBC_VERSION), $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
    }
    if String(decoding: version.prefix(max(length, 1) - 1), as: UTF8.self)
        .compare("glibc 2.36", options: .numeric) != .orderedAscending
    {
        flags += ["-Xlinker", "-z", "-Xlinker", "pack-relative-relocs"]
    }
    #endif
    return [.unsafeFlags(flags, .when(platforms: [.linux]))]
}()

let package = Package(
    name: "p2prc",
    products: [
        .executable(name: "p2prc", targets: ["p2prc"]),
        .library(name: "P2PRCKit", targets: ["P2PRCKit"]),
        .library(name: "PeerRatchet", targets: ["PeerRatchet"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.1.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.14.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.0"),
        // Without its traits: they bring swift-configuration, which nothing here reads.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0", traits: []),
        // What Hummingbird stands on, for PeerAPI's own channel handlers.
        .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
        .package(url: "https://github.com/apple/swift-nio-extras.git", from: "1.34.1"),
        .package(url: "https://github.com/apple/swift-http-types.git", from: "1.8.0"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.0.0"),
    ],
    targets: [
        .executableTarget(
            name: "p2prc",
            dependencies: ["P2PRCKit", .product(name: "ArgumentParser", package: "swift-argument-parser")],
            swiftSettings: strict, linkerSettings: linked),
        .target(
            name: "P2PRCKit",
            dependencies: [
                "PeerAPI", "PeerServices", "PeerDataPlane", "PeerTokens", "PeerReactor", "PeerProbing", "PeerStorage",
                "PeerTOML", "PeerCore", "PeerWire", "CLinux", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(
            name: "PeerAPI",
            dependencies: [
                "PeerWire",
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(
            name: "PeerTokens",
            dependencies: ["PeerCore", "PeerWire", .product(name: "JWTKit", package: "jwt-kit")],
            swiftSettings: strict),
        .target(
            name: "PeerServices",
            dependencies: [
                "PeerDataPlane", "PeerReactor", "PeerProbing", "PeerStorage", "PeerCore", "PeerWire",
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: strict),
        .target(
            name: "PeerDataPlane", dependencies: ["PeerReactor", "PeerCore", "PeerWire"], swiftSettings: strict),
        .target(
            name: "PeerReactor",
            dependencies: ["CDatagrams", "CLinux", "COpenSSL", "CRecords", "PeerCore", "PeerWire"],
            swiftSettings: strict),
        .target(
            name: "PeerProbing", dependencies: ["CCurl", "COpenSSL", "PeerCore", "PeerWire"], swiftSettings: strict),
        .target(
            name: "PeerStorage",
            dependencies: [
                "PeerCore", "PeerWire", .product(name: "GRDB", package: "GRDB.swift"),
            ],
            swiftSettings: strict),
        .target(name: "PeerTOML", dependencies: ["CTOML", "PeerWire"], swiftSettings: strict),
        .target(name: "PeerCore", dependencies: ["PeerWire"], swiftSettings: strict),
        .target(
            name: "PeerRatchet",
            dependencies: ["PeerCore", "PeerWire", .product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: strict),
        .target(
            name: "PeerWire", dependencies: [.product(name: "Crypto", package: "swift-crypto")],
            swiftSettings: strict),
        .target(name: "CLinux", cSettings: checked + named),
        .target(
            name: "CCurl", dependencies: ["COpenSSL"], cSettings: checked, linkerSettings: [.linkedLibrary("curl")]),
        .target(
            name: "COpenSSL", cSettings: checked, linkerSettings: [.linkedLibrary("ssl"), .linkedLibrary("crypto")]),
        .target(name: "CDatagrams", cSettings: checked),
        .target(name: "CRecords", cSettings: checked, linkerSettings: [.linkedLibrary("crypto")]),
        .target(name: "CTOML", cxxSettings: checkedCXX),

        .executableTarget(
            name: "microbench", dependencies: ["PeerReactor", "PeerCore", "PeerWire"], path: "Benchmarks/micro",
            swiftSettings: testing, linkerSettings: linked),
        .executableTarget(
            name: "labtool", path: "Tests/Support/labtool", swiftSettings: testing),
        .target(name: "TestSupport", path: "Tests/Support/TestSupport", swiftSettings: testing),
        .target(
            name: "SimulationSupport", dependencies: ["PeerCore", "PeerWire"], path: "Tests/Support/SimulationSupport",
            swiftSettings: testing),
        .target(
            name: "FuzzParsers", dependencies: ["PeerRatchet", "PeerReactor", "PeerTOML", "PeerCore", "PeerWire"],
            path: "Tests/Fuzz/Parsers",
            swiftSettings: testing),
        .testTarget(
            name: "PeerWireTests", dependencies: ["TestSupport", "FuzzParsers", "PeerWire"],
            exclude: ["P2PRC/Fixtures"],
            swiftSettings: testing),
        .testTarget(
            name: "PeerCoreTests", dependencies: ["SimulationSupport", "PeerCore", "PeerWire"], exclude: ["Snapshots"],
            swiftSettings: testing),
        .testTarget(
            name: "PeerRatchetTests",
            dependencies: [
                "PeerRatchet", "PeerCore", "PeerWire", .product(name: "Crypto", package: "swift-crypto"),
            ],
            exclude: ["Judges"],
            swiftSettings: testing),
        .testTarget(
            name: "PeerTOMLTests", dependencies: ["TestSupport", "PeerTOML", "PeerCore"], swiftSettings: testing),
        .testTarget(
            name: "PeerStorageTests", dependencies: ["TestSupport", "PeerStorage", "PeerCore", "PeerWire"],
            swiftSettings: testing),
        .testTarget(
            name: "PeerReactorTests",
            dependencies: [
                "PeerReactor", "PeerCore", "PeerWire", "CLinux", "COpenSSL", "CRecords",
                .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: testing),
        .testTarget(
            name: "PeerProbingTests",
            dependencies: ["PeerProbing", "PeerReactor", "PeerCore", "PeerWire", "COpenSSL"], swiftSettings: testing),
        .testTarget(
            name: "PeerDataPlaneTests", dependencies: ["PeerDataPlane", "PeerReactor", "PeerCore", "PeerWire"],
            swiftSettings: testing),
        .testTarget(
            name: "PeerServicesTests",
            dependencies: [
                "SimulationSupport", "PeerServices", "PeerDataPlane", "PeerCore", "PeerProbing", "PeerReactor",
                "PeerStorage", "PeerWire", .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: testing),
        .testTarget(
            name: "PeerTokensTests",
            dependencies: [
                "TestSupport", "PeerTokens", "PeerCore", "PeerWire", .product(name: "Crypto", package: "swift-crypto"),
            ],
            swiftSettings: testing),
        .testTarget(
            name: "PeerAPITests",
            dependencies: [
                "TestSupport", "PeerAPI", "PeerWire",
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Logging", package: "swift-log"),
            ],
            swiftSettings: testing),
        .testTarget(
            name: "P2PRCKitTests",
            dependencies: [
                "TestSupport", "P2PRCKit", "PeerServices", "PeerDataPlane", "PeerReactor", "PeerTokens", "PeerStorage",
                "PeerTOML", "PeerCore", "PeerWire",
            ],
            swiftSettings: testing),
        // All tests are linked into one program, and so are the flags of all.
        .testTarget(name: "ArchitectureTests", swiftSettings: testing, linkerSettings: linked),
        .testTarget(
            name: "ProcessTests",
            dependencies: ["TestSupport", "PeerProbing", "PeerReactor", "PeerCore", "PeerWire"],
            swiftSettings: testing),
        .testTarget(
            name: "LaboratoryTests", dependencies: ["TestSupport", "PeerProbing", "PeerCore", "PeerWire"],
            swiftSettings: testing),
    ],
    swiftLanguageModes: [.v6],
    cxxLanguageStandard: .cxx17
)
