/// What `p2prc` and `p2prc --help` say: one screen, by what somebody wants to do. A command's own help says all of it,
/// and so does the manual page.
enum Overview {
    static let text = """
        p2prc gets services out from behind NAT, through nodes that are reverse proxies.

          public host:   p2prc -s --reverse-proxy              (prints a join link)
          home:          p2prc -s --connect-reverse-proxy LINK --mp 8080
          while it runs: p2prc --mp 9000, p2prc --view-rpm, p2prc unmap 9000

        Run a node
          -s, --server               in the foreground, until Ctrl-C
          --home DIR                 where it keeps its files (else $P2PRC or ~/.p2prc)
          --server-port N            its port for other nodes (8088)
          --bind ADDR                listen on this address only
          --no-server-port           do not expose that port through reverse proxies
          --plain                    data channels without encryption
        Expose services
          --connect-reverse-proxy X  through X: a join link, HOST[:PORT], or auto
          --accept-open              even where anybody may join
          --mp WHAT[:PUBLIC]         WHAT is PORT or HOST:PORT; ranges LOW-HIGH too
          --udp, --both              for UDP; for TCP and UDP on one number
          --target HOST:PORT, --any  what to expose; any other public port will do
          --name NAME                what it is called here, such as web
          --allow CIDR, --deny CIDR  who may use it, at all of its ports
          --tell NAME, --temporary   others are told of it; it ends with the node
          --on-demand                accept always, dial for visitors alone (FTP);
                                     --no-on-demand: no longer
          --proxy-protocol v1|v2     the target is told who each visitor is
          join LINK, leave HOST, trust HOST, unmap MAPPING
        Look
          status, netcheck           what the node does; how it stands in the network
          --view-rpm, --view-rps     mappings; reverse proxies (--explain: why which);
                                     --wide: all columns, with status too
          receipt show|verify FILE   what both ends signed
          --json                     with any of these: one JSON document
        Be a reverse proxy, with -s
          --reverse-proxy            for members; --open: for everybody
          --ports LIST               public ports to give out, such as 443,20000-29999
          --advertise HOST, --no-udp the host that visitors are told; TCP alone
          --allow-visitors, --deny-visitors, --allow-peers, --deny-peers CIDR
                                     who may use its ports, and which nodes may come
          mesh-key link|rotate, token issue|list|revoke|rotate-key, drain,
          release PORT|NODE
        The mesh
          --ls, --specs NODE, --us   nodes; all of one; ask for news first
          --as HOST[:PORT]           add one;  --arn --ip HOST -p PORT: only this one
          --amd TEXT                 what all others are told of this node
          node-key rotate, export ip-table, import ip-table
        More: p2prc COMMAND --help, man p2prc, completion bash|zsh|fish, version
        P2PRC's names: --Server, --MAPPort, --ListServers, --UpdateServerList,
          --AddServer, --AddRootNode, --IPAddress, --AddMetaData, --Specification,
          --view-reverse-proxy-servers, --view-reverse-proxy-mapping
        """
}
