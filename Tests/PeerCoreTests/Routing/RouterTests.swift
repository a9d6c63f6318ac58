import PeerCore
import PeerWire
import Testing

@Suite("The router")
struct RouterTests {
    private let check = EgressName(rawValue: "check")
    private let target = EgressName(rawValue: "target")
    private let channels = EgressName(rawValue: "channels")
    private let mapping = MappingID(value: 7)

    private var router: Router {
        var router = Router()
        router.add(.init(check, to: .own, for: [.visitor, .checker]))
        router.add(.init(target, to: .own, for: [.visitor]))
        router.add(.init(channels, to: .claim, for: [.visitor, .checker]))
        return router
    }

    @Test("names the ways out in the order in which they were added")
    func order() {
        #expect(router.hops(to: .own(mapping), for: .visitor) == [check, target])
    }

    @Test("shows those who may only check no way to the service")
    func checkers() {
        #expect(router.hops(to: .own(mapping), for: .checker) == [check])
    }

    @Test("tells other nodes' mappings from this node's own")
    func kinds() {
        let claim = Claim(key: NodeKey(bytes: [UInt8](repeating: 1, count: NodeKey.byteCount))!, mapping: mapping)
        #expect(router.hops(to: .claim(claim), for: .visitor) == [channels])
        #expect(router.hops(to: .claim(claim), for: .checker) == [channels])
    }

    @Test("knows no way where nothing was added")
    func none() {
        #expect(Router().hops(to: .own(mapping), for: .visitor).isEmpty)
    }
}
