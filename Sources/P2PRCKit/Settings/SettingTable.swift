/// The keys of `config.toml` and the tables that they stand in, in the order of the pages. A new one is a line in
/// `Setting.all`, or in the list that a feature adds (`adding`).
struct SettingTable: Sendable {
    private(set) var settings = Setting.all
    /// What each table is for.
    private(set) var sections = Setting.sections

    static let shipped = SettingTable()

    /// The same with a table of its own for a feature.
    func adding(_ section: String, _ remark: String, _ settings: [Setting]) -> SettingTable {
        var table = self
        table.sections.append((section, remark))
        table.settings += settings
        return table
    }
}

/// A value in the configuration that one feature owns, and nobody else names.
protocol ConfigValue {
    associatedtype Value: Hashable & Sendable

    static var standard: Value { get }
}

extension NodeConfig {
    /// For the property by which the feature names its value.
    subscript<Key: ConfigValue>(_ key: Key.Type) -> Key.Value {
        get { features[ObjectIdentifier(key)]?.value as? Key.Value ?? Key.standard }
        set { features[ObjectIdentifier(key)] = newValue == Key.standard ? nil : FeatureValue(newValue) }
    }
}

/// A value of some feature.
struct FeatureValue: Hashable, Sendable {
    let value: any Hashable & Sendable

    init(_ value: some Hashable & Sendable) { self.value = value }

    static func == (left: FeatureValue, right: FeatureValue) -> Bool {
        AnyHashable(left.value) == AnyHashable(right.value)
    }

    func hash(into hasher: inout Hasher) { hasher.combine(AnyHashable(value)) }
}
