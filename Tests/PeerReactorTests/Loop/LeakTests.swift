import Glibc
import PeerCore
import Testing

@testable import PeerReactor

/// In processes of their own, so that no other test's descriptors are counted.
@Suite("No descriptor is left behind", .serialized)
struct LeakTests {
    @Test("by thousands of forwarders, however they end")
    func forwarders() async {
        await #expect(processExitsWith: .success) {
            let loop = try EventLoop.started()
            let block = [UInt8](repeating: 7, count: 300_000)
            func round(_ number: Int) throws {
                let passage = try Passage(on: loop)
                switch number % 5 {
                case 0:
                    passage.visitor.send([1])
                    passage.visitor.close()
                    passage.service.close()
                case 1: passage.visitor.reset()
                case 2: passage.service.reset()
                case 3: try passage.abort()
                default:
                    // With a pipe that is not empty.
                    let written = inBackground { while passage.visitor.send(block) {} }
                    _ = passage.service.receive(exactly: 400_000)
                    passage.service.reset()
                    try written.next("end of writing")
                }
                _ = try passage.ended.next("end")
            }
            for number in 0..<50 { try round(number) }
            let before = descriptorCount()
            for number in 0..<3_000 { try round(number) }
            // Idle pipes may be kept for the next transfer.
            try eventually("all descriptors closed", within: 5) { descriptorCount() <= before + 4 }
        }
    }

    @Test("by loops that stop with connections, timers and pipes open")
    func loops() async {
        await #expect(processExitsWith: .success) {
            func round() throws {
                let loop = try EventLoop.started()
                let passage = try Passage(on: loop)
                passage.visitor.send([UInt8](repeating: 1, count: 100_000))
                try loop.run { _ = loop.schedule(after: .seconds(60)) { _ = passage } }
                loop.stop()
            }
            // Waiting with a time-out makes the system library open some of its own; those are no leak.
            try round()
            _ = try? Awaited<Void>().next("nothing", within: 0.01)
            var before = descriptorCount()
            try eventually("the first loop is gone") {
                defer { before = descriptorCount() }
                return descriptorCount() == before
            }
            for _ in 0..<50 { try round() }
            // A loop that goes slowly may have been counted among the first.
            try eventually("all descriptors closed", within: 5) { descriptorCount() <= before + 4 }
        }
    }
}

func descriptorCount() -> Int {
    guard let folder = opendir("/proc/self/fd") else { return -1 }
    defer { closedir(folder) }
    var count = 0
    while readdir(folder) != nil { count += 1 }
    return count
}
