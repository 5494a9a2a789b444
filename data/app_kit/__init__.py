"""The kit for the team of the app: TypeScript for Expo and React Native."""
