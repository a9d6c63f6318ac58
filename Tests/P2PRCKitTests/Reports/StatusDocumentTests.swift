import Foundation
import Testing

@testable import P2PRCKit

/// What a running node says of itself, as a command reads it, which may be of a later version.
struct StatusDocumentTests {
    private static let former = """
        {"Name": "old", "Key": "bd90", "Roles": ["relay"], "Version": "0.1.0", "Encryption": "OpenSSL", "Process": 7,
         "Home": "/home/old", "Server_port": 8088, "Public_ports": "20000-20009", "Uptime_seconds": 1, "Sessions": 0,
         "Draining": false, "reverse_proxy_servers": [], "reverse_proxy_mappings": [],
         "Mapping_traffic": [{"Mapping": "0000000000000001", "Role": "relay", "Connections": 3, "Open": 1, "Failed": 0,
           "Refused": 0, "Bytes_from_visitors": 10, "Bytes_to_visitors": 20}],
         "Strangers": {"Foreign": 0, "Silent": 0, "Other_version": 0, "Crowded": 0, "Filtered": 0, "Unproven": 0,
           "Broken_TLS": 0, "Broken_handshakes": 2}}
        """

    @Test func `a node of a version that knew no datagrams is shown all the same`() throws {
        let status = try JSONDecoder().decode(StatusDocument.self, from: Data(Self.former.utf8))
        #expect(status.Datagrams == nil && status.Carries_UDP == nil)
        let text = TextTable.status(status)
        #expect(text.contains("home /home/old") && text.contains("turned away at the server port: 2"), "\(text)")
        #expect(!text.contains("UDP") && !text.contains("datagrams"), "\(text)")
    }
}
