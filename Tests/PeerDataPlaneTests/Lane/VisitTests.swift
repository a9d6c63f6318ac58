import Glibc
import PeerCore
import PeerReactor
import PeerWire
import Testing

@testable import PeerDataPlane

@Suite("A visit")
struct VisitTests {
    private final class Owner: ChannelOwner {
        func takeBack(_ stream: consuming PeerReactor.Stream?, _ rest: [UInt8], _ loan: ChannelLoan) {}
    }

    private final class Nowhere: Egress {
        let offer = Router.Offer(EgressName(rawValue: "nowhere"), to: .own, for: [.visitor])
        func take(_ call: consuming Call) {}
    }

    /// What malloc gave for it (malloc_usable_size(3), which the module for Glibc leaves out).
    private func usableSize(of object: AnyObject) throws -> Int {
        let symbol = try #require(dlsym(nil, "malloc_usable_size"))
        let ask = unsafeBitCast(symbol, to: (@convention(c) (UnsafeMutableRawPointer) -> Int).self)
        return ask(Unmanaged.passUnretained(object).toOpaque())
    }

    @Test("takes little of the heap: each visitor has one at either end, however idle")
    func size() throws {
        let loop = try EventLoop()
        let key = try #require(NodeKey(bytes: [UInt8](repeating: 1, count: NodeKey.byteCount)))
        let visit = Visit(
            on: Lane(on: loop), Call.Terms(to: .own(MappingID(value: 1)), portOffset: 0, caller: .visitor),
            ChannelLoan(from: Owner(), group: ChannelGroup(session: SessionID(value: 1), number: 0), node: key),
            by: Nowhere(), Visit.Ends(caller: Stream(Descriptor(-1)), way: Stream(Descriptor(-1))))
        let size = try usableSize(of: visit)
        #expect(size <= 312, "\(size) bytes; see the order of what Forwarder and Visit store")
    }
}
