import Foundation

// Measures parts of the hot path by themselves: `microbench [--operations N] [SCENARIO …]`. Prints nanoseconds for an
// operation. Benchmarks/instructions runs it under callgrind, where what counts is instructions.

var operations: Int?
var wanted: [String] = []
var words = CommandLine.arguments.dropFirst()
while let word = words.popFirst() {
    switch word {
    case "--operations":
        guard let count = words.popFirst().flatMap({ Int($0) }), (1...100_000_000).contains(count) else {
            fail("--operations: write a number from 1 to 100000000")
        }
        operations = count
    case "--list":
        for scenario in Scenario.all { print(scenario.name) }
        exit(0)
    case _ where Scenario.all.contains { $0.name == word }: wanted.append(word)
    default: fail("\(word): no scenario; there are \(Scenario.all.map(\.name).joined(separator: ", "))")
    }
}
for scenario in Scenario.all where wanted.isEmpty || wanted.contains(scenario.name) {
    let count = operations ?? scenario.operations
    do {
        let body = try scenario.prepare()
        let begin = DispatchTime.now().uptimeNanoseconds
        try body(count)
        let nanoseconds = Double(DispatchTime.now().uptimeNanoseconds - begin) / Double(count)
        print("\(scenario.name)\t\(count)\t\(String(format: "%.1f", nanoseconds)) ns")
    } catch {
        fail("\(scenario.name): \(error)")
    }
}

func fail(_ reason: String) -> Never {
    FileHandle.standardError.write(Data("microbench: \(reason)\n".utf8))
    exit(64)
}
