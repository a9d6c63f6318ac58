import Glibc
import Testing

@testable import PeerStorage

@Suite struct StorageErrorTests {
    @Test func `without descriptors the limit is what is to be raised, and not the disk that is to be looked at`() {
        for code in [EMFILE, ENFILE] {
            let text = StorageError(code: code, doing: "write it", path: "/h/f").description
            #expect(text.contains("ulimit -n") && !text.contains("disk"), "\(text)")
        }
        #expect(StorageError(code: EIO, doing: "write it", path: "/h/f").description.contains("look at the disk"))
        #expect(StorageError(code: ENOSPC, doing: "write it", path: "/h/f").description.contains("free some space"))
    }
}
