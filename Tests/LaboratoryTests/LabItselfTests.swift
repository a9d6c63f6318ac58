import TestSupport
import Testing

extension LaboratoryTests {
    /// The laboratory without p2prc: what fails here is the laboratory.
    @Suite(.serialized, .timeLimit(.minutes(2)))
    struct LabItselfTests {
        @Test("a visitor reaches a public host by IPv4 and IPv6")
        func publicHost() async throws {
            try await scenario { s in
                let lab = try s.lab()
                let http = try await s.service("http", port: 8080, in: lab.relay)
                let four = "http://\(Lab.relayAddress):\(http.port)/"
                #expect(try await s.curl(four, in: lab.visitor) == "hello from labtool\n")
                let six = "http://[\(Lab.relayAddress6)]:\(http.port)/"
                #expect(try await s.curl(six, in: lab.visitor) == "hello from labtool\n")
            }
        }

        @Test("a home reaches out and cannot be reached", arguments: Lab.NAT.allCases)
        func nat(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let lab = try s.lab()
                let http = try await s.service("http", port: 8080, in: lab.relay)
                #expect(try await s.curl("http://\(Lab.relayAddress):\(http.port)/", in: lab.home(nat)) != "")
                _ = try await s.service("http", port: 8080, in: lab.home(nat))
                let router = nat == .ordinary ? "203.0.113.101" : "203.0.113.102"
                for address in [router, lab.homeAddress(nat)] {
                    let words = ["-s", "-m", "1", "http://\(address):8080/"]
                    let result = try await s.run("curl", "curl", words, in: lab.visitor)
                    #expect(result.status == 28 || result.status == 7, "\(address) answered: \(result.stdout)")
                }
            }
        }

        @Test("lost flows are silent in both directions while new ones work", arguments: Lab.NAT.allCases)
        func lostFlows(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let lab = try s.lab()
                let echo = try await s.service("echo", port: 7000, in: lab.relay)
                let options = ["--address", Lab.relayAddress, "--port", "\(echo.port)", "--connections", "3"]
                let holder = try s.startVisitor("hold", options, seconds: 30, in: lab.home(nat))
                try await holder.line(containing: "held")
                try lab.loseFlows(nat)
                try await s.visit("first-answer", Array(options.prefix(4)), seconds: 3, in: lab.home(nat))
                holder.kill()
                // Its FINs never arrive: the service still has all three.
                let sockets = try await s.shell("ss -Htn state established '( sport = :7000 )' | wc -l", in: lab.relay)
                #expect(sockets.stdout == "3\n")
                try lab.loseFlows(nat)
                try await s.visit("first-answer", Array(options.prefix(4)), seconds: 3, in: lab.home(nat))
            }
        }

        @Test("a router forgets a flow that idles longer than its time-out", arguments: Lab.NAT.allCases)
        func forgetting(_ nat: Lab.NAT) async throws {
            try await scenario { s in
                let lab = try s.lab()
                try lab.setEstablishedTimeout(nat, seconds: 1)
                let banner = "(sleep 3; echo late) | nc -lN 7000"
                let server = try s.start("server", "bash", ["-c", banner], in: lab.relay)
                try await eventually("nc listens", within: .seconds(3)) {
                    try await s.shell("ss -Hltn '( sport = :7000 )' | grep -q 7000", in: lab.relay).status == 0
                }
                let client = try await s.shell("timeout 5 nc -d \(Lab.relayAddress) 7000", in: lab.home(nat))
                #expect(client.stdout == "", "the router should have dropped what came after three seconds of silence")
                server.kill()
            }
        }
    }
}
