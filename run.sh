export P2PRC_LONG=1 P2PRC_BINARY=/tmp/longbin/p2prc P2PRC_LABTOOL=/tmp/longdebug/labtool
cd /tmp/longdebug
./p2prcPackageTests.xctest --testing-library swift-testing --no-parallel --filter cutAndRestarted > long-cut.log 2>&1
./p2prcPackageTests.xctest --testing-library swift-testing --no-parallel --filter "takenOver|peerKilled" > long-taken.log 2>&1
./p2prcPackageTests.xctest --testing-library swift-testing --no-parallel --filter "MisfortuneTests/relayKilled" > long-relay.log 2>&1
./p2prcPackageTests.xctest --testing-library swift-testing --no-parallel --filter "ThroughNATTests" > long-nat.log 2>&1
