// What libFuzzer calls. No target of the package: only scripts/fuzz builds it, with `-sanitize=fuzzer,address`.
import FuzzParsers
import Glibc

private let target: FuzzTarget = {
    let name = getenv("P2PRC_FUZZ").map { String(cString: $0) } ?? ""
    guard let target = FuzzTarget.all.first(where: { $0.name == name }) else {
        complain("P2PRC_FUZZ=\(name) names no parser; one of: \(FuzzTarget.all.map(\.name).joined(separator: " "))")
        exit(64)
    }
    return target
}()

/// `longest` alone prints how long inputs may become, for the script.
@_cdecl("LLVMFuzzerInitialize")
public func initialize(
    _ count: UnsafeMutablePointer<CInt>,
    _ words: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>
) -> CInt {
    if count.pointee == 2, let word = words.pointee?[1], String(cString: word) == "longest" {
        print(target.longestInput)
        exit(0)
    }
    return 0
}

@_cdecl("LLVMFuzzerTestOneInput")
public func testOneInput(_ start: UnsafePointer<UInt8>?, _ count: Int) -> CInt {
    if case .flawed(let what) = target.judge(Array(UnsafeBufferPointer(start: start, count: count))) {
        complain("\(target.name): \(what)")
        // libFuzzer writes the input down.
        abort()
    }
    return 0
}

private func complain(_ text: String) {
    let line = Array("\(text)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
}
