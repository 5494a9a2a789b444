module.exports = {
  preset: 'react-native',
  testTimeout: 60_000, // the first test of a file reads all of React Native
  testMatch: ['**/__tests__/*.test.{ts,tsx}'],
  transformIgnorePatterns: ['node_modules/(?!(@?react-native|@react-native-community|llama\\.rn)/)'],
};
