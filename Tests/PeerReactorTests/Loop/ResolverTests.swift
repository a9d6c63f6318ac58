import Glibc
import PeerCore
import Testing

@testable import PeerReactor

@Suite("A resolver")
struct ResolverTests {
    private func resolve(_ host: String, _ resolver: Resolver = Resolver()) throws -> Result<
        [SocketAddress], Resolver.Failure
    > {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let answer = Awaited<Result<[SocketAddress], Resolver.Failure>>()
        resolver.resolve(Endpoint(host: host, port: 99), on: loop) { result in
            loop.preconditionInLoop()
            answer.tell(result)
        }
        return try answer.next("answer", within: 60)
    }

    @Test("gives numeric hosts back as they are", arguments: ["127.0.0.1", "::1", "2001:db8::9"])
    func numeric(_ host: String) throws {
        #expect(try resolve(host) == .success([SocketAddress(numeric: host, port: 99)].compactMap { $0 }))
    }

    @Test("knows localhost, each address once")
    func localhost() throws {
        let addresses = try resolve("localhost").get()
        #expect(!addresses.isEmpty)
        #expect(addresses.allSatisfy { $0.isLoopback && $0.port == 99 })
        #expect(Set(addresses).count == addresses.count)
    }

    @Test("says which name it cannot look up")
    func unknown() throws {
        guard case .failure(let failure) = try resolve("no-such-host.invalid") else {
            Issue.record("the name was found")
            return
        }
        #expect(failure.description.hasPrefix("the name no-such-host.invalid cannot be looked up: "))
    }

    @Test("answers every one of many look-ups, if only to say that it is busy")
    func many() throws {
        let loop = try EventLoop.started()
        defer { loop.stop() }
        let resolver = Resolver()
        let answers = Awaited<Bool>()
        for _ in 0..<200 {
            resolver.resolve(Endpoint(host: "localhost", port: 1), on: loop) { result in
                if case .failure(let failure) = result { answers.tell(failure == .busy) } else { answers.tell(true) }
            }
        }
        for _ in 0..<200 { #expect(try answers.next("answer", within: 60)) }
        // And it takes new ones afterwards.
        #expect(try !resolve("localhost", resolver).get().isEmpty)
    }
}
