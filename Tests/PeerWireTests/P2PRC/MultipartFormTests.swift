import PeerWire
import Testing

@Suite struct MultipartFormTests {
    /// As Go's `mime/multipart` writes it, which P2PRC uses.
    static let body = Array(
        """
        --b0undary\r\nContent-Disposition: form-data; name="other"\r\n\r\nfirst\r\n\
        --b0undary\r\nContent-Disposition: form-data; name="json"; filename="/home/a/ip_table.json"\r\n\
        Content-Type: application/octet-stream\r\n\r\n{"ip_address":\r\nnull}\r\n--b0undary--\r\n
        """.utf8)
    static let type = "multipart/form-data; boundary=b0undary"

    func part(_ name: String, _ body: [UInt8] = Self.body, _ type: String = Self.type) -> String? {
        MultipartForm.part(named: name, in: body, contentType: type).map { String(decoding: $0, as: UTF8.self) }
    }

    @Test func `a part is found by its name, with everything in it`() {
        #expect(part("json") == "{\"ip_address\":\r\nnull}")
        #expect(part("other") == "first")
        #expect(part("none") == nil)
    }

    @Test func `a boundary in quotes, other letters and words in front are understood`() {
        #expect(part("other", Self.body, "Multipart/Form-Data; charset=x; Boundary=\"b0undary\"") == "first")
        #expect(part("other", Array("a word before\r\n".utf8) + Self.body) == "first")
    }

    @Test func `an empty part is empty`() {
        let body = Array("--b\r\ncontent-disposition: form-data; name=json\r\n\r\n\r\n--b--".utf8)
        #expect(part("json", body, "multipart/form-data; boundary=b") == "")
    }

    @Test func `what is cut anywhere is no form with that part`() {
        let end = Self.body.count - "--\r\n".utf8.count
        for count in 0..<end where part("json", Array(Self.body.prefix(count))) != nil {
            Issue.record("\(count) bytes are enough")
        }
        #expect(part("json", Array(Self.body.prefix(end))) != nil)
    }

    @Test(arguments: [
        "", "application/json", "multipart/form-data", "multipart/form-data; boundary=",
        "multipart/form-data; boundary=\"\"",
        "multipart/form-data; boundary=\(String(repeating: "b", count: 71))", "multipart/mixed; boundary=b0undary",
    ]) func `what is no form is none`(type: String) { #expect(part("json", Self.body, type) == nil) }

    @Test func `parts and heads are bounded`() {
        func form(_ parts: Int, head: Int) -> [UInt8] {
            let more = "X: " + String(repeating: "x", count: head) + "\r\n"
            let before = (0..<parts).map { "--b\r\nContent-Disposition: form-data; name=\"p\($0)\"\r\n\r\nx\r\n" }
                .joined()
            return Array(
                (before + "--b\r\n\(more)Content-Disposition: form-data; name=\"json\"\r\n\r\nx\r\n--b--").utf8)
        }
        let type = "multipart/form-data; boundary=b"
        #expect(part("json", form(15, head: 1), type) == "x")
        #expect(part("json", form(16, head: 1), type) == nil)
        #expect(part("json", form(0, head: 5_000), type) == nil)
    }
}
