/// Which of some words somebody may have meant.
public enum Spelling {
    /// The one that is fewest slips away: a letter too many, too few, another one, or two exchanged. `nil` when that is
    /// more than a third of the word.
    public static func nearest(to word: String, in words: [String]) -> String? {
        let near = words.map { (word: $0, slips: slips(from: Array(word.utf8), to: Array($0.utf8))) }
            .min { ($0.slips, $0.word) < ($1.slips, $1.word) }
        guard let near, near.slips <= max(1, word.utf8.count / 3) else { return nil }
        return near.word
    }

    /// Optimal string alignment distance.
    private static func slips(from left: [UInt8], to right: [UInt8]) -> Int {
        var (twoBack, oneBack) = ([Int](), Array(0...right.count))
        for row in left.indices {
            var current = [row + 1]
            for column in right.indices {
                var least = min(
                    oneBack[column + 1] + 1, current[column] + 1, oneBack[column] + (left[row] == right[column] ? 0 : 1)
                )
                if row > 0, column > 0, left[row] == right[column - 1], left[row - 1] == right[column] {
                    least = min(least, twoBack[column - 1] + 1)
                }
                current.append(least)
            }
            (twoBack, oneBack) = (oneBack, current)
        }
        return oneBack[right.count]
    }
}
