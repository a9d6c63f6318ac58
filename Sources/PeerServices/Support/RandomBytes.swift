extension SystemRandomNumberGenerator {
    /// `count` bytes that nobody can guess.
    package static func bytes(_ count: Int) -> [UInt8] {
        var random = SystemRandomNumberGenerator()
        return (0..<count).map { _ in UInt8.random(in: 0 ... .max, using: &random) }
    }
}
